"""Celery's words and ours. Pure.

A worker is its node name (`celery@render-07`) on one broker; another process under it is another life.
"""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid5

from coordinator.gateways.celery.wire import Event
from coordinator.gateways.kit import worker_id
from coordinator.operations.foreign import Portrait, Sign

PROTOCOL: Final = "celery"
#: So many heartbeats may be missing before a worker is lost, and so many seconds at least: its reconnecting takes some.
FLATLINE_HEARTBEATS: Final = 5
LOST_AFTER_S: Final = 20.0
#: Elections of gossip are no business of ours.
WORKER_EVENTS: Final = frozenset({"worker-online", "worker-heartbeat", "worker-offline"})
_LIVES: Final = UUID("0d2a7c5e-94c1-5f0e-8f41-0c38a4b3a9d2")
_AT: Final = " at "


def foreign_id(realm: str, hostname: str) -> str:
    """What identifies a worker: its node name, and the broker if that is not the farm's own."""
    return f"{hostname}{_AT}{realm}" if realm else hostname


def place_of(foreign: str) -> tuple[str, str]:
    """Realm and node name of a worker."""
    hostname, at, realm = foreign.rpartition(_AT)
    return (realm, hostname) if at else ("", foreign)


def name_of(foreign: str) -> str:
    """What the worker is called here."""
    return worker_id(PROTOCOL, place_of(foreign)[1], of=foreign)


def instance_of(foreign: str, pid: int, born: int) -> UUID:
    """Which life of it this is: a process, and when we first heard of it (in containers all have the same number)."""
    return uuid5(_LIVES, f"{foreign}|{pid}|{born}")


def says_all(event: Event) -> bool:
    """Whether the event tells how the worker is. The answer to a remote `heartbeat` does not; its `freq` is none."""
    return event.active is not None or event.loadavg is not None


def portrait_of(foreign: str, event: Event, pid: int, born: int) -> Portrait:
    """What an event tells of its worker."""
    freq = event.freq if says_all(event) else None
    software = " ".join(filter(None, (event.sw_ident, event.sw_ver)))
    platform: dict[str, Any] = {"hostname": place_of(foreign)[1], "pid": pid, "born": born}
    if event.sw_sys:
        platform["os"] = event.sw_sys
    return Portrait(
        PROTOCOL,
        foreign,
        heartbeat_s=freq,
        lost_after_s=None if freq is None else max(LOST_AFTER_S, FLATLINE_HEARTBEATS * freq),
        software=software or None,
        platform=platform,
    )


def sign_of(event: Event) -> Sign:
    """What it says of itself. What its clock says is shown; it is judged by when it was heard."""
    timestamp = event.timestamp
    return Sign(
        seq=None if timestamp is None else int(timestamp * 1000),
        at=None if timestamp is None else datetime.fromtimestamp(timestamp, UTC),
        active=(event.active or 0) > 0,
        open_sessions=None if event.active is None else max(event.active, 0),
        stats={"load": event.loadavg or [], "processed": event.processed, "clock": event.clock}
        if says_all(event)
        else None,
    )
