"""Flamenco 1: its manager's HTTP interface, and its workers, which are called by their manager."""

from coordinator.gateways.flamenco_v1.routes import GATEWAY

__all__ = ["GATEWAY"]
