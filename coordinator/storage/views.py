"""Everything that is read to be shown: one method a question, over a pool that is given.

Nothing here changes a row or waits for the writer. Every question is bounded by its page and by a time limit; a
database that cannot answer is an `UnavailableError`, never a driver's exception.
"""

import base64
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import date
from typing import Final

from coordinator.domain import health
from coordinator.operations.requests import NotFoundError
from coordinator.storage import capacity, evidence, explaining, queries, shown
from coordinator.storage.explaining import Recent, Snapshot
from coordinator.storage.orders import Caches
from coordinator.storage.reading import Pool
from coordinator.storage.standing import Standing
from schemas.base import MAX_INT
from schemas.views import (
    AttemptView,
    BlockView,
    CapacityView,
    CoordinatorView,
    Entry,
    FreezeView,
    HeldView,
    IdleView,
    JobDetail,
    JobView,
    JobWhy,
    LimitView,
    LogSpan,
    Numbers,
    OutputView,
    Page,
    ParkedDetail,
    ParkedView,
    PartView,
    PictureView,
    QueueView,
    RulesView,
    TaskDetail,
    TaskView,
    TaskWhy,
    WeightView,
    WorkerCount,
    WorkerDetail,
    WorkerView,
)

_SQL: Final = queries.load("views")
_UNFINISHED: Final = frozenset({"active", "canceling"})


class Views(Standing):
    """The farm, as it is read."""

    _SQL = _SQL

    def __init__(self, pool: Pool) -> None:
        """Read through *pool*, which belongs to the caller."""
        super().__init__(pool)
        self._caches = Caches()
        self._recent = Recent()

    # --- jobs ----------------------------------------------------------------------------------------------

    async def jobs(
        self, *, state: str | None = None, submitter: str | None = None, before: int | None = None, limit: int = 100
    ) -> Page[JobView]:
        """Jobs, the newest first; *before* is the cursor."""
        name = "jobs_unfinished" if state in _UNFINISHED else "jobs"
        rows = await self._fetch(name, before or MAX_INT, state, submitter, limit + 1)
        return Page(items=[JobView(**shown.job(row)) for row in rows[:limit]], next=shown.cursor(rows, limit))

    async def job(self, job: int) -> JobDetail:
        """One job, with its parts and why its ready tasks wait."""
        async with self._snapshot() as connection:
            row = await connection.fetchrow(_SQL["job"], job)
            if row is None or row["archived_at"] is not None:
                return await self.archived_job(job)
            parts = await connection.fetch(_SQL["parts"], job)
            why = await explaining.waiting_of_job(await Snapshot.of(connection, self._caches, self._recent), job)
        return JobDetail(
            **shown.job(row),
            **shown.policy(row["policy"]),
            parts=[PartView(**{**part, "after": shown.dependencies(part["after"])}) for part in parts],
            waiting=why,
        )

    async def blocklist(self, job: int) -> list[BlockView]:
        """Who gets no more tasks of some kind in the job."""
        rows = await self._fetch("blocklist", job)
        if not rows and await self._fetchrow("job", job) is None:
            raise NotFoundError(f"there is no job {job}")
        return [BlockView(**row) for row in rows]

    # --- tasks ---------------------------------------------------------------------------------------------

    async def tasks(self, job: int, *, state: str | None = None, after: int = 0, limit: int = 100) -> Page[TaskView]:
        """The tasks of a job in their order; *after* is the cursor."""
        rows = await self._fetch("tasks", job, after, state, limit + 1)
        if not rows and await self._fetchrow("job", job) is None:
            gone = await self.archived_job(job)
            raise NotFoundError(f"job {job} was archived by {gone.archived_by}: its tasks are gone")
        return Page(items=[TaskView(**shown.named(row)) for row in rows[:limit]], next=shown.cursor(rows, limit))

    async def task(self, task: int) -> TaskDetail:
        """One task, with all that is known of it."""
        async with self._snapshot() as connection:
            row = await connection.fetchrow(_SQL["task"], task)
            if row is None:
                raise NotFoundError(f"there is no task {task}")
            attempts = await connection.fetch(_SQL["attempts"], task)
            outputs = await connection.fetch(_SQL["outputs"], task)
            why = await explaining.waiting_of_task(await Snapshot.of(connection, self._caches), task)
        return TaskDetail(
            **{**shown.named(row), "spec": shown.specification(json.loads(row["spec"]))},
            attempts=[AttemptView(**{**attempt, "result": shown.parsed(attempt["result"])}) for attempt in attempts],
            outputs=[OutputView(**output) for output in outputs],
            waiting=why,
        )

    # --- why -----------------------------------------------------------------------------------------------

    async def why_task(self, task: int) -> TaskWhy:
        """Why a task waits: all reasons, the funnel, the nearest workers."""
        async with self._snapshot() as connection:
            found = await explaining.explain_tasks(await Snapshot.of(connection, self._caches), [task])
        if not found:
            raise NotFoundError(f"there is no task {task}")
        return found[0]

    async def why_job(self, job: int) -> JobWhy:
        """Why the unfinished tasks of a job wait, sort by sort."""
        async with self._snapshot() as connection:
            return await explaining.explain_job(await Snapshot.of(connection, self._caches), job)

    async def capacity(self) -> CapacityView:
        """What the waiting tasks could use, and which workers could be stopped."""
        async with self._snapshot() as connection:
            return await capacity.look(await Snapshot.of(connection, self._caches))

    # --- attempts and outputs ------------------------------------------------------------------------------

    async def attempt_worker(self, task: int, attempt: int) -> str:
        """Whose attempt it is."""
        row = await self._fetchrow("attempt", task, attempt)
        if row is None:
            raise NotFoundError(f"there is no attempt {attempt} of task {task}")
        return str(row["worker"])

    async def output(self, task: int, attempt: int, name: str) -> OutputView:
        """One output of an attempt."""
        row = await self._fetchrow("output", task, attempt, name)
        if row is None:
            raise NotFoundError(f"attempt {attempt} of task {task} has no output {name!r}")
        return OutputView(**row)

    async def picture(self, job: int) -> PictureView:
        """The newest picture of a job that there is a copy of."""
        row = await self._fetchrow("picture", job)
        if row is None:
            if await self._fetchrow("job", job) is None:
                raise NotFoundError(f"there is no job {job}")
            raise NotFoundError(f"job {job} has no picture here: its tasks keep copies with upload: ['*.png']")
        return PictureView(**row)

    # --- logs ----------------------------------------------------------------------------------------------

    async def log_span(self, task: int, attempt: int | None, after: int, *, settled: bool) -> LogSpan:
        """What there is to read after chunk *after* (-1: from the start) of an attempt's log, the newest's by default.

        With *settled*, a live attempt's log ends before the first chunk that is still missing.
        """
        row = await self._fetchrow(*(("newest_attempt", task) if attempt is None else ("attempt", task, attempt)))
        if row is None:
            raise NotFoundError(
                f"there is no task {task}" if attempt is None else f"task {task} has no attempt {attempt}"
            )
        if row["attempt"] is None:
            return LogSpan(task=task, attempt=0, day=date.min, after=after, last=after, live=True, truncated=False)
        key, live = (task, row["attempt"], row["day"]), row["state"] != "ended"
        end = await self._fetchrow("log_end", *key)
        last = end["last"] if end else None
        if settled and live and last is not None:
            contiguous = await self._fetchrow("log_settled", *key, after)
            last = contiguous["last"] if contiguous else None
        reached = after if last is None else max(after, last)
        return LogSpan(
            task=task,
            attempt=row["attempt"],
            day=row["day"],
            after=after,
            last=reached,
            live=live,
            truncated=bool(end and end["truncated"]),
        )

    async def log(self, span: LogSpan) -> AsyncIterator[str]:
        """The text of *span*, piece by piece; no connection is held between pieces."""
        after = span.after
        while after < span.last:
            rows = await self._fetch("log_chunks", span.task, span.attempt, span.day, after, span.last)
            if not rows:
                return
            yield "".join(row["text"] for row in rows)
            after = rows[-1]["chunk"]

    # --- stories -------------------------------------------------------------------------------------------

    async def story_of_task(self, task: int, *, after: int = 0, limit: int = 100) -> Page[Entry]:
        """What happened to a task, the oldest first."""
        return await self._story("task", task, after, limit)

    async def story_of_worker(self, worker: str, *, after: int = 0, limit: int = 100) -> Page[Entry]:
        """What happened to a worker, the oldest first."""
        return await self._story("worker", worker, after, limit)

    async def story_of_job(self, job: int, *, after: int = 0, limit: int = 100) -> Page[Entry]:
        """What happened to a job as a whole, the oldest first."""
        return await self._story("job", job, after, limit)

    async def _story(self, noun: str, key: int | str, after: int, limit: int) -> Page[Entry]:
        rows = await self._fetch(f"story_of_{noun}", key, after, limit + 1)
        if not rows and not after and await self._fetchrow(noun, key) is None:
            raise NotFoundError(f"there is no {noun} {key}")
        return Page(
            items=[Entry(**{**row, "detail": shown.parsed(row["detail"])}) for row in rows[:limit]],
            next=shown.cursor(rows, limit),
        )

    # --- workers and queues --------------------------------------------------------------------------------

    async def workers(
        self,
        *,
        connection: str | None = None,
        duty: str | None = None,
        queue: str | None = None,
        after: str = "",
        limit: int = 100,
    ) -> Page[WorkerView]:
        """Workers by name; *after* is the cursor."""
        rows = await self._fetch("workers", after, connection, duty, queue, limit + 1)
        return Page(items=[WorkerView(**shown.worker(row)) for row in rows[:limit]], next=shown.cursor(rows, limit))

    async def worker(self, worker: str) -> WorkerDetail:
        """One worker, its machine and what it holds."""
        async with self._snapshot() as connection:
            row = await connection.fetchrow(_SQL["worker"], worker)
            if row is None:
                raise NotFoundError(f"there is no worker {worker}")
            held = await connection.fetch(_SQL["held"], worker)
            now = await connection.fetchval(_SQL["now"])
            done = (await evidence.evidence(connection, [worker], now))[worker]
        return WorkerDetail(
            **shown.worker_detail(row),
            health=health.score(done),
            failing_jobs=len(done.failed_s),
            held=[HeldView(**shown.named(attempt)) for attempt in held],
        )

    async def idle_default(self) -> IdleView:
        """What is done about idle workers that have no policy of their own."""
        (row,) = await self._fetch("idle_default")
        return IdleView(**row)

    async def queues(self) -> list[QueueView]:
        """The queues that somebody waits in, works in or serves."""
        return [QueueView(**row, paused=shown.paused(row)) for row in await self._fetch("queues")]

    # --- rules ---------------------------------------------------------------------------------------------

    async def rules(self) -> RulesView:
        """What operators have set, and how much of it is in use."""
        async with self._snapshot() as connection:
            return RulesView(
                fair_share=await connection.fetchval(_SQL["fair_share"]),
                limits=[LimitView(**row) for row in await connection.fetch(_SQL["limits"])],
                weights=[WeightView(**row) for row in await connection.fetch(_SQL["weights"])],
            )

    async def story_of_rules(self, *, after: int = 0, limit: int = 100) -> Page[Entry]:
        """What operators set for all."""
        rows = await self._fetch("story_of_rules", after, limit + 1)
        items = [Entry(**{**row, "detail": shown.parsed(row["detail"])}) for row in rows[:limit]]
        return Page(items=items, next=shown.cursor(rows, limit))

    # --- parked messages -----------------------------------------------------------------------------------

    async def parked(
        self, *, state: str | None = "parked", reason: str | None = None, before: int | None = None, limit: int = 100
    ) -> Page[ParkedView]:
        """Parked messages, the newest first; *before* is the cursor."""
        rows = await self._fetch("parked", before or MAX_INT, state, reason, limit + 1)
        return Page(items=[ParkedView(**row) for row in rows[:limit]], next=shown.cursor(rows, limit))

    async def parked_one(self, parked: int) -> ParkedDetail:
        """One parked message with its bytes."""
        row = await self._fetchrow("parked_one", parked)
        if row is None:
            raise NotFoundError(f"there is no parked message {parked}")
        body: bytes = row["body"]
        return ParkedDetail(
            **{
                **row,
                "headers": json.loads(row["headers"]),
                "body": base64.b64encode(body).decode(),
                "text": body.decode("utf-8", "replace"),
            }
        )

    # --- the farm ------------------------------------------------------------------------------------------

    async def ping(self) -> None:
        """Return when the database answers."""
        await self._fetch("ping")

    async def coordinators(self) -> list[CoordinatorView]:
        """The coordinators of the farm."""
        return [CoordinatorView(**row) for row in await self._fetch("coordinators")]

    async def freezes(self) -> list[FreezeView]:
        """Where losses are held back."""
        return [FreezeView(**row) for row in await self._fetch("freezes")]

    async def numbers(self) -> Numbers:
        """The farm's gauges, by queries whose cost does not grow with finished work."""
        async with self._snapshot() as connection:
            workers = await connection.fetch(_SQL["count_workers"])
            queues = await connection.fetch(_SQL["queues"])
            jobs = await connection.fetch(_SQL["count_jobs"])
            waiting_by_queue = await connection.fetch(_SQL["count_waiting_by_job_queue"])
            held = await connection.fetch(_SQL["count_held"])
            parked = await connection.fetch(_SQL["count_parked"])
            freezes = await connection.fetch(_SQL["freezes"])
            at = await connection.fetchval(_SQL["now"])
        tasks: dict[str, dict[str, int]] = {}
        for row in waiting_by_queue:
            tasks.setdefault(row["queue"], {}).update(
                blocked=row["blocked"], scheduled=row["scheduled"], paused=row["paused"]
            )
        for row in queues:
            tasks.setdefault(row["name"], {})["ready"] = row["waiting"]
        for row in held:
            if row["state"] != "stopping":  # a stopping attempt has given up its task
                tasks.setdefault(row["queue"], {})[row["state"]] = row["attempts"]
        return Numbers(
            at=at,
            workers=[WorkerCount(**row) for row in workers],
            queues=[QueueView(**row, paused=shown.paused(row)) for row in queues],
            jobs={row["state"]: row["jobs"] for row in jobs},
            tasks=tasks,
            parked={row["reason"]: row["messages"] for row in parked},
            freezes=dict(Counter(row["guard"] for row in freezes)),
        )
