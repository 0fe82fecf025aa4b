"""What workers behind gateways hold, read for those who call them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from coordinator.domain.attempt import AttemptState
from coordinator.domain.task import TaskState
from coordinator.domain.worker import Connection, Duty
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
class Found:
    """A task and somebody's attempt of it: what `gateways.kit.holdings.Found` asks for."""

    task: int
    state: TaskState
    attempt: int | None
    attempt_state: AttemptState | None
    worker: str | None
    done: int | None
    total: int | None


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
