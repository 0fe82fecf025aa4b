"""What workers behind gateways hold, read for those who call them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from coordinator.domain.attempt import AttemptState
from coordinator.domain.task import TaskState
from coordinator.domain.template import fill
from coordinator.domain.worker import PRESENT, Connection, Duty
from coordinator.storage import shown
from coordinator.storage.queries import load
from coordinator.storage.reading import Reader

_SQL: Final = load("holdings")


@dataclass(frozen=True)
class Held:
    """An attempt that has not ended: what `gateways.kit.holdings.Held` asks for."""

    task: int
    attempt: int
    state: AttemptState
    key: str | None
    activity: str | None


@dataclass(frozen=True)
class Holder:
    """A worker, and what it holds: what `gateways.kit.holdings.Holder` asks for."""

    worker: str
    foreign_id: str
    connection: Connection
    duty: Duty
    platform: Mapping[str, Any]
    held: Held | None


@dataclass(frozen=True)
class Hold:
    """An attempt that has not ended: what `gateways.kit.holdings.Hold` asks for."""

    worker: str
    foreign_id: str
    connection: Connection
    platform: Mapping[str, Any]
    task: int
    attempt: int
    state: AttemptState
    sends: int


@dataclass(frozen=True)
class Found:
    """A task and somebody's attempt of it: what `gateways.kit.holdings.Found` asks for."""

    task: int
    state: TaskState
    attempt: int | None
    attempt_state: AttemptState | None
    worker: str | None
    done: int | None
    total: int | None


@dataclass(frozen=True)
class Running:
    """A live attempt: what `gateways.kit.holdings.Running` asks for."""

    task: int
    attempt: int
    name: str
    job: int
    job_name: str
    since: datetime


@dataclass(frozen=True)
class Given:
    """An attempt with its task: what `gateways.kit.holdings.Given` asks for."""

    worker: str
    name: str
    job: int
    job_name: str
    submitter: str
    queue: str
    commands: Sequence[Mapping[str, Any]]
    assigned_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class Registered:
    """A worker in a list: what `gateways.kit.Registered` asks for."""

    worker: str
    foreign_id: str
    present: bool
    platform: Mapping[str, Any]
    queues: Sequence[str]
    lost_after_s: float
    online_at: datetime
    last_seen_at: datetime
    reported_at: datetime | None
    metrics: Sequence[str]
    held: Running | None
    now: datetime


class PostgresHoldings(Reader):
    """Reads it from the rows."""

    _SQL = _SQL

    async def holders(self, protocol: str, worker: str | None = None) -> Sequence[Holder]:
        """The workers of *protocol*, or this one of them."""
        rows = await self._fetch("holders", protocol, worker)
        return [
            Holder(
                worker=row["id"],
                foreign_id=row["foreign_id"],
                connection=Connection(row["connection"]),
                duty=Duty(row["duty"]),
                platform=row["platform"],
                held=Held(row["task_id"], row["attempt"], AttemptState(row["state"]), row["key"], row["activity"])
                if row["task_id"] is not None
                else None,
            )
            for row in rows
        ]

    async def holds(self, protocol: str, worker: str | None = None) -> Sequence[Hold]:
        """All that the workers of *protocol*, or this one of them, hold."""
        return [
            Hold(
                worker=row["id"],
                foreign_id=row["foreign_id"],
                connection=Connection(row["connection"]),
                platform=row["platform"],
                task=row["task_id"],
                attempt=row["attempt"],
                state=AttemptState(row["state"]),
                sends=row["sends"],
            )
            for row in await self._fetch("holds", protocol, worker)
        ]

    async def found(self, task: int | str, protocol: str, host: str) -> Found | None:
        """The task of this number, or the first of the job of this key, with the attempt of a worker at *host*."""
        number, key = (task, None) if isinstance(task, int) else (None, task)
        row = await self._fetchrow("found", number, key, protocol, host)
        if row is None:
            return None
        return Found(
            task=row["id"],
            state=TaskState(row["state"]),
            attempt=row["attempt"],
            attempt_state=AttemptState(row["attempt_state"]) if row["attempt_state"] else None,
            worker=row["worker_id"],
            done=row["done"],
            total=row["total"],
        )

    async def roster(self, protocol: str) -> Sequence[Registered]:
        """All workers of *protocol*."""
        return [
            Registered(
                worker=row["id"],
                foreign_id=row["foreign_id"],
                present=Connection(row["connection"]) in PRESENT,
                platform=row["platform"],
                queues=row["queues"],
                lost_after_s=row["lost_after_s"],
                online_at=row["online_at"],
                last_seen_at=row["last_seen_at"],
                reported_at=row["reported_at"],
                metrics=row["metrics"],
                held=_running(row) if row["task_id"] is not None else None,
                now=row["now"],
            )
            for row in await self._fetch("roster", protocol)
        ]

    async def of_session(self, protocol: str, session: str) -> str | None:
        """The worker that has spoken last under this session."""
        row = await self._fetchrow("of_session", protocol, session)
        return None if row is None else row["id"]

    async def session_of(self, protocol: str, worker: str) -> str | None:
        """The session under which this worker has spoken last."""
        row = await self._fetchrow("session_of", protocol, worker)
        return None if row is None else row["session"]

    async def given(self, task: int, attempt: int) -> Given | None:
        """This attempt, with its task."""
        row = await self._fetchrow("given", task, attempt)
        if row is None:
            return None
        names = ("worker", "job", "job_name", "submitter", "queue", "assigned_at", "ended_at")
        return Given(name=shown.named(row)["name"], commands=_filled(row), **{name: row[name] for name in names})


def _filled(row: Any) -> Any:
    """The commands of a task, with the places of its element filled."""
    commands, index = row["commands"], row["index"]
    if not row["is_array"]:
        return commands
    return fill(commands, index, index if row["value"] is None else json.loads(row["value"]))


def _running(row: Any) -> Running:
    named = shown.named(row)
    return Running(row["task_id"], row["attempt"], named["name"], row["job"], row["job_name"], row["since"])
