"""Celery's workers, heard through their own broker (Celery 3.1 to 5.7, protocol 2). Nothing is needed on them."""

from coordinator.gateways.celery.routes import GATEWAY

__all__ = ["GATEWAY"]
