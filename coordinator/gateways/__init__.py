"""Gateways: workers of other farms' protocols, as they are.

One package for each protocol, of three parts: `wire` (what their clients send, leniently), `translate` (pure: their
words and ours) and `routes` (their paths and their way to say who calls, with one question to the inbox each). Whatever
is odd in a protocol lives in its `translate`.
"""

from typing import Final

from coordinator.gateways import celery, clearml, flamenco_v1, flamenco_v3, openwork, stencila
from coordinator.gateways.kit import Gateway

GATEWAYS: Final[tuple[Gateway, ...]] = (
    celery.GATEWAY,
    clearml.GATEWAY,
    flamenco_v1.GATEWAY,
    flamenco_v3.GATEWAY,
    openwork.GATEWAY,
    stencila.GATEWAY,
)
