"""Rows with everything defaulted, for what is read."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg

_COUNTED = ("blocked", "scheduled", "paused", "ready", "assigned", "running", "completed", "failed", "canceled")
_NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Rows:
    """Puts rows into a database."""

    def __init__(self, connection: Any) -> None:
        self._connection: asyncpg.Connection[asyncpg.Record] = connection

    async def insert(self, table: str, **fields: Any) -> Any:
        """A row; its first column."""
        columns = ", ".join(fields)
        places = ", ".join(f"${number}" for number in range(1, len(fields) + 1))
        statement = f"INSERT INTO {table} ({columns}) VALUES ({places}) RETURNING *"
        row = await self._connection.fetchrow(statement, *fields.values())
        assert row is not None
        return row[0]

    async def execute(self, statement: str, *arguments: Any) -> None:
        """Whatever else."""
        await self._connection.execute(statement, *arguments)

    async def worker(self, name: str = "node-1", *, stats: dict[str, Any] | None = None, **fields: Any) -> str:
        """A worker that is online and awake."""
        row = {
            "id": name, "connection": "online", "duty": "awake", "epoch": 1, "instance": uuid4(), "kinds": ["exec"],
            "queues": ["default"], "slots": 4, "platform": {"hostname": f"{name}.lan"},
        }  # fmt: skip
        if fields.get("connection") == "suspect":
            row["suspect_at"] = _NOW
        await self.insert("workers", **row | fields)
        await self.insert("worker_liveness", worker_id=name, epoch=1, last_seen_at=_NOW)
        if stats is not None:
            await self.insert("worker_stats", worker_id=name, stats=stats)
        return name

    async def job(self, name: str = "job", **fields: Any) -> int:
        """A job without tasks yet; `tasks` adds some."""
        row = {"name": name, "queue": "default", "priority": 50, "state": "active", "total": 1_000_000, "first_task": 1}
        return int(await self.insert("jobs", **row | fields))

    async def tasks(
        self,
        job: int,
        states: Sequence[str],
        *,
        name: str = "frame",
        values: list[Any] | None = None,
        body: dict[str, Any] | None = None,
        after: list[dict[str, Any]] | None = None,
        **need: Any,
    ) -> list[int]:
        """An array of tasks in these states, of a class of their own; their numbers."""
        kind = {"queue": "default", "kind": "exec", "tags": [], "labels": [], "slots": 1, "cpus": 0.0, "memory_mb": 0,
                "gpus": 0}  # fmt: skip
        class_id = await self.insert("classes", fingerprint=uuid4().hex, **kind | need)
        group = await self.insert("groups", job_id=job, class_id=class_id, ready=states.count("ready"))
        first = await self._connection.fetchval("SELECT coalesce(max(id), 0) + 1 FROM tasks")
        spec = await self.insert(
            "specs", job_id=job, group_id=group, name=name, first_task=first, count=len(states),
            is_array=len(states) > 1, array_values=values, priority=50, retries=3, after=after or [],
            body=body or {"kind": "exec", "commands": [{"name": "exec", "parameters": {"argv": ["true"]}}]},
        )  # fmt: skip
        for index, state in enumerate(states):
            await self.insert(
                "tasks", id=first + index, job_id=job, group_id=group, spec_id=spec, state=state, priority=50,
                unmet=1 if state == "blocked" else 0, not_before=_NOW if state == "scheduled" else None,
                attempt=1 if state == "completed" else 0, accepted_attempt=1 if state == "completed" else None,
                failures=1 if state == "scheduled" else 0, changed_at=_NOW,
            )  # fmt: skip
        sums = ", ".join(f"n_{state} = n_{state} + {states.count(state)}" for state in _COUNTED)
        await self.execute(f"UPDATE jobs SET expanded = expanded + {len(states)}, {sums} WHERE id = $1", job)
        return list(range(first, first + len(states)))

    async def attempt(self, task: int, worker: str = "node-1", attempt: int = 1, **fields: Any) -> None:
        """An attempt that is running."""
        class_id = await self._connection.fetchval(
            "SELECT class_id FROM tasks t JOIN groups g ON g.id = t.group_id WHERE t.id = $1", task
        )
        row = {
            "task_id": task, "attempt": attempt, "run": 1, "class_id": class_id, "worker_id": worker, "epoch": 1,
            "state": "running", "assigned_at": _NOW, "sent_at": _NOW, "started_at": _NOW,
        }  # fmt: skip
        await self.insert("attempts", **row | fields)
        await self.execute("UPDATE tasks SET attempt = greatest(attempt, $2) WHERE id = $1", task, attempt)

    async def ended(self, task: int, ending: str, *, attempt: int = 1, **fields: Any) -> None:
        """An attempt that has ended like this."""
        row: dict[str, Any] = {"state": "ended", "ending": ending, "ended_at": _NOW, "accepted": ending == "completed"}
        await self.attempt(task, attempt=attempt, **row | fields)

    async def log(self, task: int, *chunks: tuple[int, str], attempt: int = 1) -> None:
        """Chunks of an attempt's log."""
        for chunk, text in chunks:
            await self.insert("logs", day=_NOW.date(), task_id=task, attempt=attempt, chunk=chunk, text=text)

    async def parked(self, body: bytes = b"{}", **fields: Any) -> int:
        """A parked message."""
        row = {"queue": "farmhand.events", "routing_key": "ev.node-1", "body": body, "reason": "invalid",
               "field": "events.0", "detail": "wrong"}  # fmt: skip
        return int(await self.insert("parked", **row | fields))

    async def fetchrow(self, statement: str, *arguments: Any) -> Any:
        """What a query says."""
        return await self._connection.fetchrow(statement, *arguments)
