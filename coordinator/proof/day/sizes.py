"""How large everything is: each table and index, each queue, journals, the memory of each process.

A look is a mapping from a thing to its size. What counts for a time of the day is the mean of the looks in the six
hours before it: what is removed in rounds goes up and down with them. Memory is looked at when an hour's work is done:
amid it, it says how fast the work goes, too.
"""

import asyncio
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import psutil

from coordinator.local.farm import LocalFarm
from coordinator.local.postgres import PrivatePostgres
from coordinator.local.rabbitmq import PrivateRabbit
from schemas.topology import WORKER_QUEUE_PREFIX

#: How much anything may have grown, and what is too little to count: in bytes, of queues in messages.
ALLOWED: Final = 0.10
SLACK: Final = {"table": 16 * 8192, "index": 16 * 8192, "queue": 500, "journal": 2**20, "memory": 2**20}
#: Hours before a time that count for it.
WINDOW_H: Final = 6
#: Shown, not judged: logs that are written round and round, up to a size that the servers' own settings say; and
#: memory amid the work, with garbage in it.
LOG: Final = "log of writes"
AT_WORK: Final = "memory at work"

Thing = tuple[str, str]
Look = Mapping[Thing, float]

# A partitioned table counts as one thing, and so does each of its indexes. What is dropped meanwhile has no size.
_RELATIONS: Final = """
SELECT CASE WHEN c.relkind = 'r' THEN 'table' ELSE 'index' END AS kind,
       coalesce(pg_partition_root(c.oid)::regclass, c.oid::regclass)::text AS name,
       coalesce(sum(CASE WHEN c.relkind = 'r' THEN pg_table_size(c.oid) ELSE pg_relation_size(c.oid) END), 0)::float8
           AS size
  FROM pg_class c
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'i')
 GROUP BY 1, 2
"""
_WAL: Final = "SELECT coalesce(sum(size), 0)::float8 FROM pg_ls_waldir()"


@dataclass(frozen=True)
class Line:
    """A thing at half time and at the end."""

    thing: Thing
    half: float
    end: float

    @property
    def change(self) -> float:
        """By how much it has grown, as a share."""
        return self.end / self.half - 1 if self.half else float(self.end > 0)

    @property
    def grown(self) -> bool:
        """Whether that is more than it may."""
        kind = self.thing[0]
        return kind not in {LOG, AT_WORK} and self.change > ALLOWED and self.end - self.half > SLACK[kind]


class Scales:
    """What weighs *farm*."""

    def __init__(self, farm: LocalFarm, connection: asyncpg.Connection, http: httpx.AsyncClient) -> None:
        self._farm = farm
        self._connection = connection
        self._http = http

    async def look(self) -> Look:
        """All sizes now, amid the work."""
        found: dict[Thing, float] = defaultdict(float)
        for row in await self._connection.fetch(_RELATIONS):
            found[row["kind"], row["name"]] = row["size"]
        for queue in (await self._http.get("/api/queues")).raise_for_status().json():
            name = WORKER_QUEUE_PREFIX + "*" if queue["name"].startswith(WORKER_QUEUE_PREFIX) else queue["name"]
            if not name.startswith("farmhand.broker-events."):
                found["queue", name] += queue.get("messages", 0)
        for name in self._farm.agents:
            found["journal", name] = _bytes(self._farm.path / "agents" / name)
        found |= self._memory(AT_WORK)
        found[LOG, "Postgres"] = await self._connection.fetchval(_WAL)
        if isinstance(self._farm.services.rabbitmq, PrivateRabbit):
            found[LOG, "RabbitMQ"] = _bytes(self._farm.services.rabbitmq.data)
        return found

    async def look_at_rest(self) -> Look:
        """The memory of each process. Nothing is to be done; RabbitMQ collects its garbage first."""
        server = self._farm.services.rabbitmq
        if isinstance(server, PrivateRabbit):
            await asyncio.to_thread(server.ctl, "force_gc")
        return self._memory("memory")

    def _memory(self, kind: str) -> dict[Thing, float]:
        return {(kind, name): sum(map(_memory, pids)) for name, pids in self._processes().items()}

    def _processes(self) -> dict[str, list[int]]:
        """Of Postgres and RabbitMQ all processes together."""
        named = {name: [part.pid] for name, part in self._farm.parts.items() if part.pid}
        for name, server in (("Postgres", self._farm.services.postgres), ("RabbitMQ", self._farm.services.rabbitmq)):
            if isinstance(server, PrivatePostgres | PrivateRabbit) and server.pid:
                named[name] = [server.pid, *(one.pid for one in psutil.Process(server.pid).children(recursive=True))]
        return named


def lines(looks: Sequence[tuple[float, Look]], hours: int) -> list[Line]:
    """All things at half time and at the end; *looks* are from 0 to so many hours."""
    half, end = (_at(looks, hour) for hour in (hours / 2, hours))
    return [Line(thing, half.get(thing, 0.0), end.get(thing, 0.0)) for thing in sorted(half.keys() | end.keys())]


def _at(looks: Sequence[tuple[float, Look]], hour: float) -> dict[Thing, float]:
    """Of each thing the mean of the looks that were at things of its kind."""
    some = [look for when, look in looks if hour - WINDOW_H < when <= hour]
    of_kind: dict[str, list[Look]] = defaultdict(list)
    for look in some:
        for kind in {kind for kind, _ in look}:
            of_kind[kind].append(look)
    things = {thing for look in some for thing in look}
    return {thing: statistics.fmean(look.get(thing, 0.0) for look in of_kind[thing[0]]) for thing in things}


def table(found: Iterable[Line]) -> str:
    """As Markdown."""
    rows = ["| | at half time | at the end | change |", "|---|---:|---:|---:|"]
    for one in found:
        kind, name = one.thing
        mark = " **grown**" if one.grown else ""
        change = f"{one.change:+.0%}" if one.half else "new" if one.end else ""
        rows.append(f"| {kind} `{name}` | {_shown(kind, one.half)} | {_shown(kind, one.end)} | {change}{mark} |")
    return "\n".join(rows)


def _shown(kind: str, size: float) -> str:
    if kind == "queue":
        return f"{size:,.0f}"
    return f"{size / 2**20:,.1f} MB" if size >= 2**20 else f"{size / 2**10:,.0f} kB"


def _bytes(directory: Path) -> float:
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return float(total)


def _memory(pid: int) -> float:
    """What a process has for itself."""
    try:
        return float(psutil.Process(pid).memory_full_info().uss)
    except psutil.NoSuchProcess:
        return 0.0


def sums(look: Look) -> dict[str, Any]:
    """A few figures for the progress."""
    of: dict[str, float] = defaultdict(float)
    for (kind, name), size in look.items():
        of[kind] += size
        of[f"{kind} {name}"] += size
    return dict(of)
