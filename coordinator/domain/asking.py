"""Who may ask what of a worker, and what becomes of the request that stands already.

A worker has one request, and beneath one to go (`offline`, `restart`) the one that it comes back to. An operator
overrules everything; a sleep schedule only whether it is awake or asleep; an idle policy never stops what somebody has
put aside; the farm's own quarantine is not overruled by anybody but an operator.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from coordinator.domain.outcome import Refused
from coordinator.domain.worker import EFFECTS, Asked, Ends, Worker


class Source(StrEnum):
    """Who asks."""

    OPERATOR = "operator"
    SCHEDULE = "schedule"
    IDLE = "idle"
    FARM = "farm"
    WORKER = "worker"


class Place(StrEnum):
    """What becomes of a request that is accepted."""

    CURRENT = "current"  # the worker is asked now
    BENEATH = "beneath"  # the worker is going; it is asked when it is back


#: What each source may take the place of (None: of nothing).
OVERRULES: Final[Mapping[Source, frozenset[Asked | None]]] = {
    Source.OPERATOR: frozenset({None, *Asked}),
    Source.SCHEDULE: frozenset({None, Asked.AWAKE, Asked.ASLEEP}),
    Source.IDLE: frozenset({None, Asked.AWAKE, Asked.ASLEEP}),
    Source.FARM: frozenset({None, *Asked} - {Asked.QUARANTINED}),
    Source.WORKER: frozenset({None, Asked.AWAKE}),
}


@dataclass(frozen=True, slots=True)
class Ask:
    """A request: *by* are the words for people."""

    state: Asked
    source: Source
    by: str
    at: datetime
    reason: str | None = None
    lazy: bool = True
    deadline_at: datetime | None = None


def decide(worker: Worker, ask: Ask) -> Place | Refused:
    """Where *ask* takes its place."""
    current = Asked(worker.requested_state) if worker.requested_state else None
    beneath = Asked(worker.resume["state"]) if worker.resume and worker.resume["state"] else None
    going = current is not None and EFFECTS[current].ends is Ends.INSTANCE
    if ask.source is Source.OPERATOR:
        return Place.CURRENT
    standing = beneath if going else current
    if standing not in OVERRULES[ask.source] or (going and EFFECTS[ask.state].ends is Ends.INSTANCE):
        return Refused(current or "", ask.state, f"{ask.source} does not overrule {standing or current}")
    return Place.BENEATH if going else Place.CURRENT


def resumed(worker: Worker, ask: Ask) -> dict[str, str | None] | None:
    """What the worker comes back to when *ask* becomes its request."""
    if EFFECTS[ask.state].ends is not Ends.INSTANCE:
        return None
    current = Asked(worker.requested_state) if worker.requested_state else None
    if current is None or EFFECTS[current].ends is Ends.DONE:
        return None
    if EFFECTS[current].ends is Ends.INSTANCE:
        return worker.resume
    return kept(current, worker.requested_source, worker.requested_by, worker.requested_reason)


def kept(state: Asked, source: str | None, by: str | None, reason: str | None) -> dict[str, str | None]:
    """A request in the form in which it is kept beneath another."""
    return {"state": state.value, "source": source, "by": by, "reason": reason}
