"""OpenWork: activity heartbeats of its workers, and what they are for (docs/gateways/openwork.md)."""

from coordinator.gateways.openwork.routes import GATEWAY

__all__ = ["GATEWAY"]
