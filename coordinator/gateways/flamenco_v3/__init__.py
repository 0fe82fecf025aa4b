"""Flamenco 3: workers that register themselves, poll for tasks and report on them (docs/gateways/flamenco-3.md)."""

from coordinator.gateways.flamenco_v3.routes import GATEWAY

__all__ = ["GATEWAY"]
