"""Proof: what Farmhand is measured and tried by. The one room that starts agents and coordinators as a user would."""
