"""ClearML: agents that register, report on their machines and poll their queues (docs/gateways/clearml.md)."""

from coordinator.gateways.clearml.routes import GATEWAY

__all__ = ["GATEWAY"]
