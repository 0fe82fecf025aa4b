"""Figures over time as columns."""

from coordinator.storage.migrations.script import run

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0011_figures.sql")
