"""The protocols that workers speak, and what the farm can do with a worker of each.

Our own agents are pushed their work and carry out whatever they are asked for. Others ask for work themselves, or take
none from us; and what their protocol has no words for cannot be asked of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from coordinator.domain.worker import Asked, Worker

NATIVE: Final = "native"


class Work(StrEnum):
    """How a worker comes to its tasks."""

    PUSHED = "pushed"  # the farm gives it a task as soon as it has room
    PULLED = "pulled"  # it asks, and is answered in the same transaction
    NONE = "none"  # it has tasks of its own; we only watch it


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol by its name for people, how its workers come to work, and what they can be asked for.

    `wordless`: nothing of that is ever told to them, so it is so as soon as it is asked.
    """

    title: str
    work: Work
    carries: frozenset[Asked]
    wordless: bool = False


#: What the farm does by itself, by giving nothing: it needs no word of the protocol.
WITHHELD: Final = frozenset({Asked.AWAKE, Asked.DRAIN, Asked.QUARANTINED})

PROTOCOLS: Final[Mapping[str, Protocol]] = {
    NATIVE: Protocol("Farmhand", Work.PUSHED, frozenset(Asked)),
    "flamenco_v1": Protocol("Flamenco 1", Work.PUSHED, WITHHELD | {Asked.ASLEEP}),
    "flamenco_v3": Protocol("Flamenco 3", Work.PULLED, frozenset(Asked)),
    "clearml": Protocol("ClearML", Work.PULLED, WITHHELD, wordless=True),
    "stencila": Protocol("Stencila Hub", Work.NONE, frozenset()),
    "celery": Protocol("Celery", Work.PUSHED, WITHHELD | {Asked.ASLEEP}),
    "openwork": Protocol("OpenWork", Work.NONE, frozenset({Asked.OFFLINE})),
}
#: What a worker is asked to do, in words.
_TO_DO: Final[Mapping[Asked, str]] = {
    Asked.AWAKE: "wake",
    Asked.ASLEEP: "sleep",
    Asked.DRAIN: "drain",
    Asked.ERROR: "take no work as if out of order",
    Asked.TESTING: "be tested",
    Asked.QUARANTINED: "keep aside",
    Asked.RESTART: "restart",
    Asked.OFFLINE: "stop",
}
#: Of a gateway that this release does not know: it is watched.
_UNKNOWN: Final = Protocol("another farm's protocol", Work.NONE, frozenset())


def protocol_of(worker: Worker) -> Protocol:
    """What *worker* speaks."""
    return PROTOCOLS.get(worker.protocol, _UNKNOWN)


def is_pushed(worker: Worker) -> bool:
    """Whether it is given its work without having asked: one of our own agents, or one that its gateway calls."""
    return protocol_of(worker).work is Work.PUSHED


def is_native(worker: Worker) -> bool:
    """Whether it is one of our own agents, who hear commands."""
    return worker.protocol == NATIVE


def neighbourhood(worker: Worker) -> str:
    """With whom it falls silent when only the road to it is cut: those of its zone that are heard by the same one."""
    return worker.zone if is_native(worker) else f"{worker.zone}:{worker.protocol}"


def cannot(worker: Worker, asked: Asked) -> str | None:
    """Why *worker* cannot be asked for this, in words; None when it can."""
    protocol = protocol_of(worker)
    if asked in protocol.carries:
        return None
    to_do = _TO_DO[asked]
    if protocol.work is Work.NONE:
        return (
            f"worker {worker.id} has its tasks from elsewhere; the {protocol.title} protocol cannot ask it to {to_do}"
        )
    return f"the {protocol.title} protocol cannot ask worker {worker.id} to {to_do}"
