"""The doctor's look at the database and at the farm that is in it. It changes nothing.

Promises: whatever is wrong is an answer, never an exception; what cannot be looked at says so.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg

from coordinator.storage import invariants
from coordinator.storage.migrate import newest, revision_on
from coordinator.storage.pool import prepare
from coordinator.storage.queries import load
from schemas.views import CheckState, CheckView

_SQL: Final = load("doctor")
CONNECT_S: Final = 5.0
ANSWER_S: Final = 10.0
OLDEST_POSTGRES: Final = 15
#: Connections that should be left for those who come next: a coordinator takes up to fourteen.
SPARE_CONNECTIONS: Final = 15
#: A machine's clock and the database's may differ by this.
OFFSET: Final = timedelta(seconds=2)
#: Coordinators write their row every 5 s, and somebody sweeps each second.
SILENT_S: Final = 20.0
UNSWEPT_S: Final = 30.0
#: What a coordinator has not done by then it cannot.
SETTLED_S: Final = 10.0
#: Somebody has the lock that others wait for.
LONG_WAIT_S: Final = 5.0
#: Workers whose queues are looked at.
MOST_AGENTS: Final = 500
_REPORT: Final = "a fault in Farmhand: keep a pg_dump, look at farmhand story task ID, and report it"

Row = dict[str, Any]


def check(part: str, name: str, state: CheckState, said: str, remedy: str = "", rows: Sequence[Any] = ()) -> CheckView:
    """One thing that was looked at; *rows* may hold whatever a database has."""
    shown = json.loads(json.dumps([dict(row) for row in rows[: invariants.MOST_SHOWN]], default=str))
    return CheckView(part=part, name=name, state=state, said=said, remedy=remedy, rows=shown)


def plain(part: str, name: str, said: str, remedy: str = "", *, bad: bool, rows: Sequence[Any] = ()) -> CheckView:
    """A check that is ok or wrong."""
    return check(part, name, CheckState.WRONG if bad else CheckState.OK, said, remedy if bad else "", rows)


def hint(part: str, name: str, said: str, remedy: str = "", *, odd: bool, rows: Sequence[Any] = ()) -> CheckView:
    """A check that is ok or worth a look."""
    return check(part, name, CheckState.WARNING if odd else CheckState.OK, said, remedy if odd else "", rows)


@dataclass
class Examined:
    """What was found; and the agents that are online, and how many coordinators are, for whoever looks at queues."""

    checks: list[CheckView] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)
    coordinators: int | None = None


async def examine(database_url: str) -> Examined:
    """Look at the database at *database_url*."""
    found = Examined()
    try:
        connection = await asyncpg.connect(database_url, timeout=CONNECT_S, command_timeout=ANSWER_S)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what a person wants to know
        found.checks.append(_unreached(database_url, error))
        return found
    try:
        await prepare(connection)
        for step in (_server, _clock, _activity, _schema):
            found.checks += await _guarded("database", step, connection)
        if found.checks[-1].state is CheckState.OK:
            for step in (_rights, _partitions):
                found.checks += await _guarded("database", step, connection)
            found.checks += await _guarded("farm", _people, connection)
            found.checks += await _guarded("farm", lambda one: _presence(one, found), connection)
            found.checks += await _guarded("invariants", _invariants, connection)
        else:
            found.checks.append(check("farm", "rows", CheckState.UNKNOWN, "not looked at: the schema is another one"))
    finally:
        connection.terminate()
    return found


async def _guarded(
    part: str, step: Callable[[asyncpg.Connection], Awaitable[list[CheckView]]], connection: asyncpg.Connection
) -> list[CheckView]:
    try:
        return await step(connection)
    except Exception as error:  # noqa: BLE001 - the others are looked at all the same
        name = getattr(step, "__name__", "look").strip("_<>")
        return [check(part, name, CheckState.UNKNOWN, f"could not be looked at: {_words(error)}")]


# --- the server --------------------------------------------------------------------------------------------


def _unreached(url: str, error: Exception) -> CheckView:
    try:
        parts = urlsplit(url)
        place, user, name = f"{parts.hostname}:{parts.port or 5432}", parts.username or "", parts.path[1:]
    except ValueError:
        place, user, name = "an unreadable URL", "", ""
    match error:
        case asyncpg.InvalidAuthorizationSpecificationError():
            said, remedy = (
                f"Postgres at {place} refuses user {user!r}",
                "check name and password in FARMHAND_DATABASE_URL",
            )
        case asyncpg.InvalidCatalogNameError():
            said, remedy = f"Postgres at {place} has no database {name!r}", f"createdb --owner {user} {name}"
        case asyncpg.TooManyConnectionsError():
            said, remedy = f"Postgres at {place} has no connection left", "raise max_connections, or end who holds them"
        case asyncpg.PostgresError():
            said, remedy = f"Postgres at {place} does not serve: {_words(error)}", "see its log"
        case TimeoutError():
            said, remedy = (
                f"Postgres at {place} gave no answer within {CONNECT_S:.0f} s",
                "see whether it is overloaded",
            )
        case _:
            said = f"no Postgres answers at {place}: {_words(error)}"
            remedy = "start it, or set FARMHAND_DATABASE_URL"
    return CheckView(
        part="database", name="answers", state=CheckState.WRONG, said=said, remedy=remedy, unreachable=True
    )


async def _server(connection: asyncpg.Connection) -> list[CheckView]:
    (row,) = await connection.fetch(_SQL["server"])
    careless = [name for name in ("fsync", "full_page_writes") if not row[name]]
    careless += ["synchronous_commit"] if row["synchronous_commit"] == "off" else []
    left = row["most"] - row["connections"]
    return [
        plain("database", "answers", "it does", bad=False),
        plain("database", "version", f"Postgres {row['version']}", f"use Postgres {OLDEST_POSTGRES} or newer",
              bad=row["major"] < OLDEST_POSTGRES),
        plain("database", "encoding", row["encoding"], "make the database anew: createdb --encoding UTF8",
              bad=row["encoding"] != "UTF8"),
        plain("database", "takes writes",
              "it is a standby" if row["standby"] else "it is read-only" if row["read_only"] else "it does",
              "point FARMHAND_DATABASE_URL at the primary, or end the read-only mode (default_transaction_read_only)",
              bad=row["standby"] or row["read_only"]),
        hint("database", "keeps what it confirms", f"off: {', '.join(careless)}" if careless else "it does",
             "turn them on in postgresql.conf: a power cut may lose or break what was confirmed", odd=bool(careless)),
        hint("database", "connections", f"{row['connections']} of {row['most']} in use", "raise max_connections",
             odd=left < SPARE_CONNECTIONS),
    ]  # fmt: skip


async def _clock(connection: asyncpg.Connection) -> list[CheckView]:
    before = datetime.now(UTC)
    there: datetime = (await connection.fetch(_SQL["server"]))[0]["now"]
    after = datetime.now(UTC)
    offset = timedelta(0) if before <= there <= after else min(there - before, there - after, key=abs)
    return [
        hint("database", "clock", f"{offset.total_seconds():+.3f} s from this machine's",
             "set both by NTP: the farm goes by the database's clock, logs and tokens show the difference",
             odd=abs(offset) > OFFSET),
    ]  # fmt: skip


async def _activity(connection: asyncpg.Connection) -> list[CheckView]:
    long = await connection.fetch(_SQL["long_transactions"])
    waiting = await connection.fetch(_SQL["waiting_for_locks"], LONG_WAIT_S)
    return [
        hint("database", "long transactions", f"{len(long)} older than a minute" if long else "none",
             "end them: SELECT pg_terminate_backend(pid); they keep dead rows from being removed",
             odd=bool(long), rows=long),
        hint("database", "locks",
             f"{len(waiting)} wait for longer than {LONG_WAIT_S:.0f} s" if waiting else "nobody waits long",
             "see blocked_by; SELECT pg_terminate_backend(pid) ends who holds the lock",
             odd=bool(waiting), rows=waiting),
    ]  # fmt: skip


# --- the schema --------------------------------------------------------------------------------------------


async def _schema(connection: asyncpg.Connection) -> list[CheckView]:
    there = await revision_on(connection)
    needed = newest()
    remedy = "farmhand migrate" if there is None or there < needed else "update farmhand here: the database is newer"
    said = f"revision {there or 'none'}" + ("" if there == needed else f", this release needs {needed}")
    return [plain("database", "schema", said, remedy, bad=there != needed)]


async def _rights(connection: asyncpg.Connection) -> list[CheckView]:
    missing = await connection.fetch(_SQL["missing_rights"])
    may_create = await connection.fetchval(_SQL["may_create"])
    lacking = [f"all rights on {row['table']}" for row in missing] + ([] if may_create else ["CREATE on the schema"])
    return [
        plain("database", "rights", f"lacking: {', '.join(lacking)}" if lacking else "sufficient",
              "let the user of FARMHAND_DATABASE_URL own the tables: REASSIGN OWNED BY ... TO ...", bad=bool(lacking)),
    ]  # fmt: skip


async def _partitions(connection: asyncpg.Connection) -> list[CheckView]:
    missing = await connection.fetch(_SQL["missing_partitions"])
    return [
        hint("database", "log partitions", f"none for {', '.join(str(row['day']) for row in missing)}" if missing
             else "there", "a coordinator makes them each hour: see its log", odd=bool(missing)),
    ]  # fmt: skip


# --- the farm ----------------------------------------------------------------------------------------------


async def _presence(connection: asyncpg.Connection, found: Examined) -> list[CheckView]:
    rows = await connection.fetch(_SQL["coordinators"])
    swept_s = await connection.fetchval(_SQL["swept"])
    found.agents = [row["id"] for row in await connection.fetch(_SQL["agents"], MOST_AGENTS)]
    present = [row for row in rows if row["silent_s"] <= SILENT_S]
    silent = [row for row in rows if row["silent_s"] > SILENT_S]
    found.coordinators = len(present)
    softwares = sorted({row["software"] for row in present})
    had_time = any(row["up_s"] > UNSWEPT_S for row in present)
    deaf = [row for row in present if not row["hears_broker"] and row["up_s"] > SETTLED_S]
    freezes = await connection.fetch(_SQL["freezes"])
    return [
        plain("farm", "coordinators", f"{len(present)} at work", "start one: farmhand coordinator",
              bad=not present, rows=rows if not present else ()),
        hint("farm", "silent coordinators", ", ".join(row["coordinator"] for row in silent) or "none",
             "killed or stopped without a word: see whether they hang; their rows go after a day",
             odd=bool(silent), rows=silent),
        hint("farm", "releases of coordinators", ", ".join(softwares) or "none", "update the others soon",
             odd=len(softwares) > 1),
        hint("farm", "the broker's word", f"{len(present) - len(deaf)} of {len(present)} hear who is cut off",
             "deaths are noticed by silence only: rabbitmq-plugins enable rabbitmq_event_exchange, and let the "
             "coordinators' user read there (FARMHAND_BROKER_EVENTS_VHOST)", odd=bool(deaf), rows=deaf),
        hint("farm", "losses held back", "; ".join(_frozen(row) for row in freezes) or "nowhere",
             "if they are gone indeed: farmhand freezes thaw ZONE", odd=bool(freezes), rows=freezes),
        plain("farm", "sweep", "never" if swept_s is None else f"{max(0.0, swept_s):.0f} s ago",
              "no coordinator does the duties of each second: see their logs, and whether somebody holds the lock",
              bad=had_time and (swept_s is None or swept_s > UNSWEPT_S)),
    ]  # fmt: skip


def _frozen(row: asyncpg.Record) -> str:
    if row["zone"] is None:
        return f"everywhere: {row['suspects']} of {row['workers']} coordinators consume nothing"
    return f"zone {row['zone']} is {row['guard']}: {row['suspects']} of {row['workers']} were suspect"


async def _people(connection: asyncpg.Connection) -> list[CheckView]:
    workers = {row["connection"]: row["workers"] for row in await connection.fetch(_SQL["workers"])}
    softwares = await connection.fetch(_SQL["softwares"])
    parked = await connection.fetch(_SQL["parked"])
    unsure, there = workers.get("suspect", 0), workers.get("online", 0)
    count = sum(row["messages"] for row in parked)
    return [
        hint("farm", "workers", ", ".join(f"{number} {word}" for word, number in workers.items()) or "none yet",
             "many are suspect at once: look at the broker and the network before the machines",
             odd=unsure > max(2, 0.2 * (unsure + there))),
        check("farm", "releases of workers", CheckState.OK,
              ", ".join(f"{row['software'] or 'unknown'} ({row['workers']})" for row in softwares) or "none is there"),
        hint("farm", "parked messages", f"{count}: {', '.join(row['reason'] for row in parked)}" if parked else "none",
             "farmhand parked, then farmhand parked replay ID or drop ID", odd=bool(parked), rows=parked),
    ]  # fmt: skip


async def _invariants(connection: asyncpg.Connection) -> list[CheckView]:
    found, unknown = await invariants.broken(connection)
    return [*_broken(found), *_unchecked(unknown), *_held(found, unknown)]


def _broken(found: Sequence[invariants.Violation]) -> Iterator[CheckView]:
    rows: dict[str, list[Row]] = {}
    for one in found:
        rows.setdefault(one.invariant, []).append(one.row)
    for name, some in rows.items():
        said = f"{len(some)}{' or more' if len(some) == invariants.MOST_SHOWN else ''} rows break it"
        yield plain("invariants", name, said, _REPORT, bad=True, rows=some)


def _unchecked(unknown: Sequence[str]) -> Iterator[CheckView]:
    for name in unknown:
        said = f"took longer than {invariants.PATIENCE_S:.0f} s"
        yield check("invariants", name, CheckState.UNKNOWN, said, "ask again when the farm is quieter")


def _held(found: Sequence[invariants.Violation], unknown: Sequence[str]) -> Iterator[CheckView]:
    hold = len(invariants.NAMES) - len({one.invariant for one in found}) - len(unknown)
    yield check("invariants", "held", CheckState.OK, f"{hold} of {len(invariants.NAMES)} hold")


def _words(error: BaseException) -> str:
    if isinstance(error, (TimeoutError, asyncio.CancelledError)):
        return "no answer in time"
    return " ".join(str(error).split())[:300] or type(error).__name__
