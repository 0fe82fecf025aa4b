"""Stencila Hub's words and ours. Pure.

A worker is one hostname here, whatever its process; another process under that name is another life of it. (The Hub
made a row for each combination of hostname, process, rhythm and software: a reply to a remote command made a ghost.)
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid5

from coordinator.gateways.kit import worker_id
from coordinator.gateways.stencila.wire import Event, Queue, Update
from coordinator.operations.foreign import Portrait, Sign

PROTOCOL: Final = "stencila"
#: So many of its heartbeats may be missing before it is lost.
FLATLINE_HEARTBEATS: Final = 5
MOST_SLOTS: Final = 500
_LIVES: Final = UUID("6f0e7d1c-6c55-5b32-9df1-6d1a8c1f7a55")

#: What the Hub calls whether a worker is there, from ours.
ACTIVE: Final[Mapping[str, bool]] = {"online": True, "suspect": True, "lost": False, "offline": False}


def name_of(hostname: str) -> str:
    """What the worker of this *hostname* is called here."""
    return worker_id(PROTOCOL, hostname)


def life_of(event: Event) -> UUID | None:
    """Which process it is that speaks; None when it does not say."""
    if event.pid is None:
        return None
    return uuid5(_LIVES, f"{event.hostname}|{event.pid}")


def sign_of(event: Event, *, arrives: bool = False) -> Sign:
    """What it says of itself. Events overtake one another on their way: their own time orders them."""
    at = datetime.fromtimestamp(event.timestamp, UTC) if event.timestamp is not None else None
    return Sign(
        seq=int(event.timestamp * 1000) if event.timestamp is not None else None,
        at=at,
        active=arrives or bool(event.active),
        open_sessions=event.active,
        stats=_stats(event),
    )


def _stats(event: Event) -> dict[str, Any] | None:
    if event.loadavg is None and event.processed is None:
        return None
    return {"load": event.loadavg or [], "processed": event.processed, "clock": event.clock}


def _rhythm(event: Event, *, arrives: bool) -> float | None:
    """How often it says that it lives. An answer to a remote command names another number, and holds no figures."""
    return event.freq if arrives or event.active is not None or event.loadavg is not None else None


def portrait_of(
    hostname: str, event: Event | None = None, update: Update | None = None, *, arrives: bool = False
) -> Portrait:
    """What is known of the worker: by an event, or by the overseer's inspection."""
    event = event or Event()
    update = update or event.details or Update()
    freq = _rhythm(event, arrives=arrives)
    software = " ".join(filter(None, (event.sw_ident, event.sw_ver)))
    platform = {"hostname": hostname}
    if event.sw_sys:
        platform["os"] = event.sw_sys
    broker, pool = (update.stats.broker, update.stats.pool) if update.stats else (None, None)
    if broker is not None and broker.virtual_host is not None:
        platform["virtual_host"] = broker.virtual_host
    slots = min(pool.max_concurrency, MOST_SLOTS) if pool is not None and pool.max_concurrency else None
    return Portrait(
        protocol=PROTOCOL,
        foreign_id=hostname,
        heartbeat_s=freq,
        lost_after_s=None if freq is None else FLATLINE_HEARTBEATS * freq,
        software=software or None,
        platform=platform,
        queues=None if update.queues is None else queues_of(update),
        slots=slots,
    )


def queues_of(update: Update) -> tuple[str, ...]:
    """The names of the queues it listens to, each once; the Hub's own numbers name none here."""
    names = (one.name if isinstance(one, Queue) else one for one in update.queues or ())
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def unnamed_life(hostname: str) -> UUID:
    """The life of who does not say which process it is."""
    return uuid5(_LIVES, hostname)
