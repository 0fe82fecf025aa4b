"""Why tasks wait, read from one snapshot of the farm and told by the rules that assign.

The groups, the limits and the workers are loaded by the very functions that assignment uses; whether a task would be
given away next is tried out with assignment itself, on a ledger that is thrown away.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from time import monotonic
from typing import Any, Final

import asyncpg

from coordinator.domain.attempt import Attempt
from coordinator.domain.explain import Explanation, explain
from coordinator.domain.forecast import before, next_room_s, rest_s, usual_s
from coordinator.domain.guards import Freeze, Guard
from coordinator.domain.matching import Free, Group, TaskClass, misfits, withheld
from coordinator.domain.reason import Count, Kind, Reason, Seconds
from coordinator.domain.standing import Need, Road, Standing, own_reasons
from coordinator.domain.task import TaskState
from coordinator.domain.why import Found
from coordinator.domain.worker import Worker
from coordinator.operations.assignment import Survey, assign, survey
from coordinator.operations.ledger import Ledger
from coordinator.operations.requests import NotFoundError
from coordinator.storage import queries, rows, shown
from coordinator.storage.forecasting import Forecasts
from coordinator.storage.orders import Caches
from coordinator.storage.pool import Connection
from coordinator.storage.transaction import LOAD, PostgresTransaction
from schemas.views import JobWhy, NearView, ReasonView, StepView, TaskWhy, Waiting, WaitingTasks

WHY: Final = queries.load("why")
_VIEWS: Final = queries.load("views")
#: As many of the tasks that use a license are named.
_MOST_HOLDERS: Final = 5
#: Reasons whose words tell what may be expected.
_FORECAST: Final = frozenset({Reason.BUSY, Reason.RESOURCES, Reason.PRIORITY})
_WAITING: Final = frozenset({TaskState.BLOCKED, TaskState.SCHEDULED, TaskState.PAUSED, TaskState.READY})


class Recent:
    """The workers as they were a moment ago, for whoever asks twice a second: a second for each 5,000 of them."""

    def __init__(self) -> None:
        self._workers: list[tuple[Worker, Free]] = []
        self._until_s = 0.0

    def get(self) -> list[tuple[Worker, Free]] | None:
        """The workers, unless that was too long ago."""
        return self._workers if monotonic() < self._until_s else None

    def put(self, workers: list[tuple[Worker, Free]]) -> None:
        """The workers as they are now."""
        self._workers, self._until_s = workers, monotonic() + len(workers) / 5000


class Snapshot:
    """The farm as assignment would find it now; what is not asked for is not loaded."""

    def __init__(self, connection: Connection, now: datetime, caches: Caches, recent: Recent | None) -> None:
        self.connection = connection
        self.now = now
        self._caches = caches
        self._recent = recent or Recent()
        self.forecasts = Forecasts(connection, now)
        self._workers: list[tuple[Worker, Free]] | None = None
        self._survey: Survey | None = None
        self._next: list[Attempt] | None = None
        self._road: Road | None = None

    @classmethod
    async def of(cls, connection: Connection, caches: Caches, recent: Recent | None = None) -> "Snapshot":
        """The farm that *connection*, in a transaction, sees; its workers may be those of a moment ago."""
        return cls(connection, await connection.fetchval(_VIEWS["now"]), caches, recent)

    def transaction(self) -> tuple[PostgresTransaction, Ledger]:
        """A transaction that is only read through, and its ledger."""
        ledger = Ledger(self.now)
        ledger.work_appeared = True
        return PostgresTransaction(self.connection, ledger, self._caches), ledger  # type: ignore[arg-type]

    async def classes(self, ids: set[int]) -> dict[int, TaskClass]:
        """Requirement classes."""
        return await self.transaction()[0].classes(ids)

    async def workers(self) -> list[tuple[Worker, Free]]:
        """Every worker, and what it has left."""
        self._workers = self._workers or self._recent.get()
        if self._workers is None:
            everyone = [rows.worker(row) for row in await self.connection.fetch(WHY["everyone"])]
            load: dict[str, dict[int, int]] = {worker.id: {} for worker in everyone}
            for row in await self.connection.fetch(LOAD["load_of_workers"], list(load)):
                load[row["worker_id"]][row["class_id"]] = row["held"]
            classes = await self.classes({number for held in load.values() for number in held})
            self._workers = [(worker, Free.of(worker, load[worker.id], classes)) for worker in everyone]
            self._recent.put(self._workers)
        return self._workers

    async def idle(self) -> set[str]:
        """The workers that take work, hold nothing, and are used by nobody else."""
        return {row["id"] for row in await self.connection.fetch(WHY["idle"])}

    async def survey(self) -> Survey:
        """The groups with ready tasks, with what they claim, what is left of the limits, whose turn it is."""
        if self._survey is None:
            self._survey = await survey(*self.transaction())
        return self._survey

    async def road(self) -> Road:
        """How coordinators and broker do."""
        if self._road is None:
            found = await self.connection.fetch(WHY["road"])
            heard = [(row["id"], row["heard_at"]) for row in found]
            blocked = [row["blocked_since"] for row in found if row["blocked_since"] is not None]
            self._road = Road(heard, min(blocked, default=None))
        return self._road

    async def next_attempts(self) -> list[Attempt]:
        """What the next assignment would give away."""
        if self._next is None:
            tx, ledger = self.transaction()
            await assign(tx, ledger)
            self._next = ledger.new_attempts
        return self._next


async def explain_tasks(farm: Snapshot, tasks: Sequence[int]) -> list[TaskWhy]:
    """Why each of *tasks* waits."""
    found = await farm.connection.fetch(WHY["task"], list(tasks))
    classes = await farm.classes({row["class_id"] for row in found})
    return [await _explain(farm, row, classes[row["class_id"]]) for row in found]


async def _explain(farm: Snapshot, row: asyncpg.Record, need: TaskClass) -> TaskWhy:
    state = TaskState(row["state"])
    facts = {"task": row["task"], "job": row["job"]}
    group: Group | None = None
    own = list(own_reasons(await _standing(farm, row, state)))
    known = Explanation(tuple(own))
    workers: list[tuple[Worker, Free]] = []
    if state in _WAITING:
        workers = await farm.workers()
        found = await farm.survey()
        group = next((one for one in found.groups if one.id == row["group_id"]), None)
        held_back = [] if group is None else [await _who_holds(farm, one) for one in withheld(group, found.budgets)]
        known = explain(
            need,
            workers,
            failed_on=row["failed_on"],
            blocked=() if group is None else group.blocked,
            before=own + held_back,
            ready=state is TaskState.READY,
            facts=facts,
        )
    reasons = list(known.reasons)
    if not reasons:
        next_one = any(attempt.task_id == row["task"] for attempt in await farm.next_attempts())
        able = {**facts, "workers": Count(known.able)}
        reasons = [Found(Reason.NEXT_PASS if next_one else Reason.PRIORITY, able)]
    if group is not None and _FORECAST & {found.reason for found in reasons}:
        words = await _forecast(farm, row, need, group)
        reasons = [found.with_facts(**words) if found.reason in _FORECAST else found for found in reasons]
    told = [_reason(found) for found in reasons]
    return TaskWhy(
        **{key: value for key, value in shown.named(row).items() if key in TaskWhy.model_fields},
        at=farm.now,
        main=told[_main(reasons)],
        reasons=told,
        workers=len(workers),
        able=known.able,
        funnel=[StepView(words=step.words, workers=step.workers) for step in known.funnel],
        nearest=[
            NearView(worker=one.worker, reasons=[reason.value for reason in one.reasons], lacks=list(one.lacks))
            for one in known.nearest
        ],
    )


async def _who_holds(farm: Snapshot, found: Found) -> Found:
    """A license that is in use, with the tasks that use it."""
    if found.reason is not Reason.LICENSE:
        return found
    rows = await farm.connection.fetch(WHY["license_holders"], found.facts["name"], _MOST_HOLDERS + 1)
    tasks = [str(row["task_id"]) for row in rows]
    words = ", ".join([*tasks[:_MOST_HOLDERS], *(["…"] if len(tasks) > _MOST_HOLDERS else [])])
    held = f", by task{'' if len(tasks) == 1 else 's'} {words}" if tasks else ""
    return found.with_facts(holders=held)


async def _forecast(farm: Snapshot, row: asyncpg.Record, need: TaskClass, group: Group) -> dict[str, str]:
    """How long it takes until somebody has room, if that can be guessed, and how many come first."""
    able = [pair for pair in await farm.workers() if next(misfits(pair[0], need), None) is None]
    running = await farm.forecasts.running_on({worker.id for worker, _ in able if worker.connection == "online"})
    survey = await farm.survey()
    classes = await farm.classes({one.class_id for one in running} | {one.class_id for one in survey.groups})
    rest = next_room_s(need, able, running, classes, farm.forecasts.known)
    workers = [worker for worker, _ in able]
    first = before(group, survey.groups, classes, workers, survey.budgets, fair=survey.shares is not None)
    first += await farm.forecasts.earlier(group.id, row["priority"], row["task"])
    others = format(Count(first), "task") if first else "other tasks"
    return {
        "forecast": f"; the next has room in about {Seconds(rest)}" if rest is not None else "",
        "ahead": f"; {others} {Count(first):comes|come} first" if first else "",
        "others": others,
    }


async def _standing(farm: Snapshot, row: asyncpg.Record, state: TaskState) -> Standing:
    need, need_rest_s = None, None
    if state is TaskState.BLOCKED:
        first = await farm.connection.fetchrow(_VIEWS["needs"], row["task"])
        if first is not None:
            count = await farm.connection.fetchval(_VIEWS["needs_count"], row["task"])
            named = shown.named(first)
            need = Need(named["id"], named["name"], TaskState(named["state"]), count)
            if first["started_at"] is not None:
                took = await farm.forecasts.took(first["group_id"], first["id"])
                need_rest_s = rest_s(took, (farm.now - first["started_at"]).total_seconds())
    usual = usual_s(await farm.forecasts.took(row["group_id"], row["task"])) if state is TaskState.RUNNING else None
    road = await farm.road()
    if row["zone"] is not None:
        counts = row["freeze_workers"], row["freeze_suspects"]
        freeze = Freeze(row["zone"], Guard.FROZEN, row["freeze_since"], *counts, counted_at=row["freeze_since"])
        road = replace(road, freeze=freeze)
    return Standing(
        row["task"],
        state,
        farm.now,
        row["unmet"],
        need,
        row["not_before"],
        row["ends"],
        row["worker"],
        row["since"],
        row["leased_until"],
        row["reason"],
        (farm.now - row["last_seen_at"]).total_seconds() if row["connection"] == "suspect" else None,
        (farm.now - (row["log_heard_at"] or row["since"])).total_seconds() if row["since"] else 0.0,
        usual,
        need_rest_s,
        road,
    )


def _main(reasons: Sequence[Found]) -> int:
    """Which reason to begin with: what is no affair of single workers; else that of those who are nearest to it."""
    for index, found in enumerate(reasons):
        if found.line.kind is not Kind.LATER:
            return index
    return len(reasons) - 1


def _reason(found: Found) -> ReasonView:
    line = found.line
    fields: dict[str, Any] = {"code": found.reason.value, "kind": line.kind.value, "who": line.who.value}
    fields |= {"facts": found.told, "since": found.facts.get("since")}
    return ReasonView(**fields, sentence=found.sentence, remedy=found.remedy)


async def explain_job(farm: Snapshot, job: int) -> JobWhy:
    """Why the tasks of *job* wait, one of each sort."""
    row = await farm.connection.fetchrow(WHY["job"], job)
    if row is None:
        raise NotFoundError(f"there is no job {job}")
    counts = {one["task"]: one["tasks"] for one in await farm.connection.fetch(WHY["examples"], job)}
    counts |= {one["task"]: one["tasks"] for one in await farm.connection.fetch(WHY["waiting_examples"], job)}
    told = await explain_tasks(farm, list(counts))
    parts = [one.model_copy(update={"tasks": counts[one.task]}) for one in told]
    return JobWhy(job=job, name=row["name"], state=row["state"], at=farm.now, parts=parts)


async def waiting_of_task(farm: Snapshot, task: int) -> Waiting | None:
    """The main reason, while it waits."""
    for why in await explain_tasks(farm, [task]):
        if why.main.kind.value not in ("done", "running"):
            return Waiting(code=why.main.code, kind=why.main.kind, sentence=why.main.sentence)
    return None


async def waiting_of_job(farm: Snapshot, job: int) -> list[WaitingTasks]:
    """The main reasons of a job's ready tasks."""
    examples = {one["task"]: one["tasks"] for one in await farm.connection.fetch(WHY["waiting_examples"], job)}
    return [
        WaitingTasks(code=why.main.code, kind=why.main.kind, sentence=why.main.sentence, tasks=examples[why.task])
        for why in await explain_tasks(farm, list(examples))
    ]
