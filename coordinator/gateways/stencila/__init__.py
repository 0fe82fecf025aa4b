"""Stencila Hub: what its overseer says of Celery workers (docs/gateways/stencila.md)."""

from coordinator.gateways.stencila.routes import GATEWAY

__all__ = ["GATEWAY"]
