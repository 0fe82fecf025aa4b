"""OpenWork's words and ours. Pure."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID, uuid5

from coordinator.domain.worker import Connection
from coordinator.gateways.openwork.wire import Heartbeat
from coordinator.operations.foreign import Portrait, Sign, Standing

PROTOCOL: Final = "openwork"
#: Its sender says something each five minutes; three of these may be missing.
HEARTBEAT_S: Final = 300.0
LOST_AFTER_S: Final = 900.0
#: As many workers' constant parts are remembered.
_MANY: Final = 10_000
_LIVES: Final = UUID("3f0a5f86-64f6-5b0c-8a55-0f6f3f5d2c11")

#: What OpenWork calls a worker of each connection. `provisioning` is before the first heartbeat, and ours knows no such
#: state; `stopped` is also who was never heard.
STATUS: Final[Mapping[Connection, str]] = {
    Connection.ONLINE: "healthy",
    Connection.SUSPECT: "healthy",
    Connection.LOST: "failed",
    Connection.OFFLINE: "stopped",
}
UNMAPPABLE: Final = frozenset({"provisioning"})


def name_of(typeid: str) -> str:
    """What the worker with this TypeID is called here: the same, with a hyphen for the underscore."""
    return typeid.replace("_", "-")


@lru_cache(_MANY)
def portrait_of(typeid: str) -> Portrait:
    """What is known of it."""
    return Portrait(
        protocol=PROTOCOL,
        foreign_id=typeid,
        heartbeat_s=HEARTBEAT_S,
        lost_after_s=LOST_AFTER_S,
        software="openwork",
    )


@lru_cache(_MANY)
def life_of(typeid: str) -> UUID:
    """Its heartbeats do not say which process it is: all its life is one."""
    return uuid5(_LIVES, typeid)


def sign_of(beat: Heartbeat) -> Sign:
    """What it says. Who was not active recently was not, whatever else it says; what holds it are its busy sessions,
    where it tells them from those that are only open."""
    return Sign(
        at=beat.sent_at,
        active=beat.is_active_recently,
        active_at=(beat.last_activity_at or beat.sent_at) if beat.is_active_recently else None,
        open_sessions=beat.open_session_count if beat.busy_session_count is None else beat.busy_session_count,
    )


def answer_of(typeid: str, beat: Heartbeat, standing: Standing) -> dict[str, Any]:
    """The answer: the times as they are kept, the rest as it was sent."""
    return {
        "ok": True,
        "workerId": typeid,
        "isActiveRecently": beat.is_active_recently,
        "openSessionCount": beat.open_session_count,
        "lastHeartbeatAt": _told(standing.told_at or standing.now),
        "lastActiveAt": _told(standing.active_at) if standing.active_at is not None else None,
    }


def _told(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
