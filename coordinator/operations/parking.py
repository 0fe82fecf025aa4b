"""Messages that could not be read or applied: kept with the reason, looked at, and dropped by people."""

from dataclasses import dataclass
from typing import Any

from coordinator.operations.ledger import Ledger
from coordinator.operations.records import ParkedMessage, Parking
from coordinator.operations.requests import Changed, ConflictError, DropParked, NotFoundError, Request
from coordinator.operations.wanted import Wanted


@dataclass(frozen=True)
class LookAtParked(Request[ParkedMessage]):
    """The message itself, if it is still parked."""

    parked: int


def park(ledger: Ledger, parking: Parking) -> None:
    """Keep it."""
    ledger.parkings.append(parking)
    ledger.counted["parked", parking.reason] += 1


def open_one(ledger: Ledger, number: int) -> ParkedMessage:
    """The message, which nobody has replayed or dropped. Raises `NotFoundError` or `ConflictError`."""
    message = ledger.parked.get(number)
    if message is None:
        raise NotFoundError(f"there is no parked message {number}")
    if message.state != "parked":
        raise ConflictError(f"message {number} was {message.state} already")
    return message


def want(wanted: Wanted, request: Any) -> None:
    """The message."""
    wanted.parked.add(request.parked)


def look(ledger: Ledger, request: LookAtParked) -> ParkedMessage:
    """Show it."""
    return open_one(ledger, request.parked)


def drop(ledger: Ledger, request: DropParked) -> Changed:
    """Close it for good."""
    message = open_one(ledger, request.parked)
    ledger.closed_parked.append((message.id, "dropped", request.actor))
    return Changed(1)
