"""What all gateways share, so that a protocol is only its own words: docs/gateways.md says how one is made."""

from coordinator.gateways.kit.bodies import Lenient, Shown, Words, described, faulty, mended, read, shown
from coordinator.gateways.kit.fault import Fault
from coordinator.gateways.kit.gate import Errand, Errands, Gate
from coordinator.gateways.kit.gateway import Duty, Gateway, application
from coordinator.gateways.kit.holdings import Given, Registered
from coordinator.gateways.kit.names import worker_id

__all__ = [
    "Duty",
    "Errand",
    "Errands",
    "Fault",
    "Gate",
    "Gateway",
    "Given",
    "Lenient",
    "Registered",
    "Shown",
    "Words",
    "application",
    "described",
    "faulty",
    "mended",
    "read",
    "shown",
    "worker_id",
]
