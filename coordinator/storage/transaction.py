"""One transaction under the farm's lock: loads what a batch wants, writes what it changed."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import asyncpg

from coordinator.domain.attempt import Attempt
from coordinator.domain.budget import Rules
from coordinator.domain.health import Evidence
from coordinator.domain.lease import Lease
from coordinator.domain.limits import Held
from coordinator.domain.matching import Candidate, Group, TaskClass
from coordinator.domain.times import Times
from coordinator.domain.worker import Worker
from coordinator.operations.jobs import SLICE, Growing, Grown
from coordinator.operations.ledger import Ledger
from coordinator.operations.ports import Delivery
from coordinator.operations.records import Dependent, Expired, GroupRow, ParkedMessage, Watched
from coordinator.operations.signs import Signs
from coordinator.operations.store import Order
from coordinator.operations.submission import Draft
from coordinator.operations.wanted import Wanted
from coordinator.storage import blocking, calling, evidence, growing, guarding, recurring, rows, saving, tending, tokens
from coordinator.storage.orders import Caches, Spec, order_of
from coordinator.storage.queries import load

LOAD: Final = load("load")
MOST_DUE: Final = 2000
#: As many tasks of a spec are passed over in one go when its deadline is applied.
MOST_PASSED: Final = 100_000


class PostgresTransaction:
    """Implements `operations.store.Transaction` on one connection."""

    def __init__(self, connection: asyncpg.Connection, ledger: Ledger, caches: Caches) -> None:
        self._connection = connection
        self._ledger = ledger
        self._caches = caches
        self._rules_version = 0

    # --- loading -------------------------------------------------------------------------------------------

    async def load(self, wanted: Wanted) -> Ledger:
        """All rows that *wanted* names."""
        ledger = self._ledger
        await self._load_by_time(wanted)
        await self._load_slices(wanted)
        if wanted.callers:
            await calling.find(self._connection, ledger, wanted)
        if wanted.holders:
            for name in wanted.holders:
                ledger.held[name] = {}
            for row in await self._fetch("held_attempts", list(wanted.holders)):
                ledger.add_attempt(rows.attempt(row))
        await self._load_attempts(wanted)
        await self._load_tasks(wanted)
        await self._load_leases()
        wanted.workers |= wanted.holders | {one.worker_id for one in ledger.attempts.values()}
        await self._load_workers(wanted.workers)
        unheard = wanted.foreign - ledger.foreign.signs.keys()
        if unheard:
            for row in await self._fetch("signs", list(unheard)):
                ledger.foreign.signs[row[0]] = Signs(*row[1:])
        if wanted.holders or wanted.guards:
            ledger.worker_count = await self._connection.fetchval(LOAD["worker_count"])
        if wanted.keys or wanted.kinds:
            await self._load_for_submission(wanted)
        await self._load_rest(wanted)
        return ledger

    async def _load_rest(self, wanted: Wanted) -> None:
        """What only few events ask for."""
        ledger = self._ledger
        if wanted.marks_of:
            await self.load_marks(ledger, wanted.marks_of)
        if wanted.parked:
            for row in await self._fetch("parked", list(wanted.parked)):
                ledger.parked[row["id"]] = _parked(row)
        if wanted.tokens:
            ledger.tokens = await tokens.live(self._connection, wanted.tokens)
        if wanted.rules:
            ledger.ruling.rules = await self._load_rules()
        if wanted.duties:
            ledger.duties = {
                row["name"]: row["last_run_at"] for row in await self._fetch("duties", list(wanted.duties))
            }

    async def _load_by_time(self, wanted: Wanted) -> None:
        ledger = self._ledger
        await tending.find(self._connection, ledger, wanted)
        if wanted.recurring:
            keys, jobs = await recurring.load_wanted(self._connection, ledger, wanted.recurring)
            wanted.keys |= keys
            wanted.jobs |= jobs
        if wanted.due:
            ledger.due = [row["id"] for row in await self._fetch("due_tasks", ledger.now, MOST_DUE)]
            wanted.tasks.update(ledger.due)
        if wanted.overdue:
            await self._load_overdue(wanted)
        if wanted.undelivered:
            ledger.undelivered = [
                (row["task_id"], row["attempt"]) for row in await self._fetch("undelivered", ledger.now, MOST_DUE)
            ]
            wanted.attempts.update(ledger.undelivered)
        await guarding.find(self._connection, ledger, wanted)

    async def _load_overdue(self, wanted: Wanted) -> None:
        ledger = self._ledger
        for row in await self._fetch("overdue", ledger.now, MOST_DUE):
            limits = Times(max_run_s=row["max_run_s"], no_progress_s=row["no_progress_s"])
            one = Watched(row["task_id"], row["attempt"], limits, row["started_at"], row["heard_at"])
            ledger.watch.overdue.append(one)
            wanted.attempts.add((one.task, one.attempt))
        for row in await self._fetch("expired", ledger.now, MOST_DUE // 4, MOST_PASSED):
            reached = min(row["deadline_next"] + MOST_PASSED, row["stop"])
            following = row["tasks"][-1] + 1 if len(row["tasks"]) == MOST_DUE // 4 else reached
            done = following >= row["stop"]
            ledger.watch.expired.append(Expired(row["id"], row["deadline"], row["tasks"], None if done else following))
            wanted.tasks.update(row["tasks"])

    async def _load_slices(self, wanted: Wanted) -> None:
        for job, states in wanted.slices.items():
            found = await self._fetch("slice", job, [state.value for state in states], SLICE)
            self._ledger.slices[job] = [row["id"] for row in found]
            wanted.tasks.update(self._ledger.slices[job])
            wanted.dependents_of.update(self._ledger.slices[job])
            wanted.jobs.add(job)

    async def _load_attempts(self, wanted: Wanted) -> None:
        ledger = self._ledger
        named = [key for key in wanted.attempts if key not in ledger.attempts]
        if named:
            tasks, numbers = zip(*named, strict=True)
            for row in await self._fetch("attempts", list(tasks), list(numbers)):
                one = rows.attempt(row)
                ledger.add_attempt(one)
                if not one.live:  # a late report: what runs in its place must be seen
                    wanted.tasks.add(one.task_id)
        if wanted.tasks:
            for row in await self._fetch("live_or_accepted_attempts", list(wanted.tasks)):
                if (row["task_id"], row["attempt"]) not in ledger.attempts:
                    ledger.add_attempt(rows.attempt(row))

    async def _load_tasks(self, wanted: Wanted) -> None:
        ledger = self._ledger
        if wanted.dependents_of:
            for row in await self._fetch("dependents", list(wanted.dependents_of)):
                ledger.dependents.setdefault(row["needs"], []).append(Dependent(row["task_id"], row["promoted"]))
                wanted.tasks.add(row["task_id"])
        wanted.tasks.update(one.task_id for one in ledger.attempts.values())
        if wanted.tasks:
            for row in await self._fetch("tasks", list(wanted.tasks)):
                ledger.add_task(rows.task(row))
        await self._load_jobs_of(ledger.tasks.values(), wanted.jobs)

    async def _load_leases(self) -> None:
        """What stands in the way of exclusive tasks; asked for only where there are any."""
        ledger = self._ledger
        if not ledger.tasks:
            return
        classes = {group.id: group.class_id for group in ledger.groups.values()}
        needs = await self.classes(set(classes.values()))
        exclusive = {group for group, number in classes.items() if needs[number].exclusive}
        if exclusive:
            tasks = [task.id for task in ledger.tasks.values() if task.group_id in exclusive]
            for row in await self._fetch("held_leases", tasks):
                ledger.leases.held[row["task_id"]] = Lease(*row)

    async def _load_jobs_of(self, tasks: Iterable[Any], also: Collection[int] = ()) -> None:
        ledger = self._ledger
        jobs, groups = set(also), set()
        for task in tasks:
            jobs.add(task.job_id)
            groups.add(task.group_id)
        jobs -= ledger.jobs.keys()
        groups -= ledger.groups.keys()
        if jobs:
            for row in await self._fetch("jobs", list(jobs)):
                ledger.jobs[row["id"]] = rows.job(row)
        if groups:
            for row in await self._fetch("groups", list(groups)):
                ledger.groups[row["id"]] = GroupRow(*row)

    async def _load_workers(self, names: Collection[str]) -> None:
        if names:
            for row in await self._fetch("workers", list(names)):
                self._know(row)

    def _know(self, row: asyncpg.Record) -> Worker:
        ledger = self._ledger
        worker = ledger.workers.get(row["id"])
        if worker is None:
            worker = ledger.workers[row["id"]] = rows.worker(row)
            ledger.last_seen[worker.id] = row["last_seen_at"]
        return worker

    async def _load_for_submission(self, wanted: Wanted) -> None:
        ledger = self._ledger
        if wanted.keys:
            for row in await self._fetch("jobs_by_key", list(wanted.keys)):
                ledger.job_keys[row["key"]] = row["id"]
            await self._load_jobs_of((), list(ledger.job_keys.values()))
        if wanted.kinds:
            ledger.known_kinds = frozenset(row["kind"] for row in await self._fetch("known_kinds"))

    # --- jobs ----------------------------------------------------------------------------------------------

    async def insert_jobs(self, ledger: Ledger, drafts: Sequence[Draft]) -> list[Growing]:
        """Number the drafts and insert their jobs, classes, groups and specs."""
        return await growing.insert_jobs(self._connection, ledger, drafts)

    async def growing(self, ledger: Ledger, jobs: Collection[int]) -> list[Growing]:
        """The jobs with the specs of their next tasks."""
        await self._load_jobs_of((), jobs)
        return await growing.growing(self._connection, ledger, jobs)

    async def insert_tasks(self, grown: Grown) -> None:
        """Insert tasks and dependencies."""
        await growing.insert_tasks(self._connection, grown)

    # --- assignment ----------------------------------------------------------------------------------------

    async def groups_with_work(self) -> list[Group]:
        """The groups with ready tasks."""
        found = await self._fetch("groups_with_work")
        if found:
            self._rules_version = found[0]["rules_version"]
        groups = [rows.group(row) for row in found]
        listed = [row["id"] for row in found if row["blocklisted"]]
        if not listed:
            return groups
        shut = await blocking.blocked_of_groups(self._connection, listed)
        return [replace(group, blocked=shut.get(group.id, frozenset())) for group in groups]

    async def rules(self) -> Rules:
        """What operators have set: read when it has changed, and kept when the change is committed."""
        if self._ledger.ruling.changes:
            return await self._load_rules()
        version, rules = self._caches.rules
        if version != self._rules_version:
            rules = await self._load_rules()
            self._caches.rules = (self._rules_version, rules)
        return rules

    async def _load_rules(self) -> Rules:
        return rows.rules(
            await self._fetch("limits"),
            await self._fetch("paused_queues"),
            await self._fetch("weights"),
            fair=await self._connection.fetchval(LOAD["fair_share"]),
        )

    async def held(self, ledger: Ledger) -> list[Held]:
        """What is held on the whole farm."""
        await saving.save_held(self._connection, ledger)
        return [Held(*row) for row in await self._fetch("held")]

    async def turns(self) -> dict[tuple[str, str], int]:
        """Who was served when."""
        return {(row["queue"], row["submitter"]): row["turn"] for row in await self._fetch("turns")}

    async def classes(self, ids: Collection[int]) -> dict[int, TaskClass]:
        """Requirement classes by number."""
        known = self._caches.classes
        missing = [number for number in ids if number not in known]
        if missing:
            known.update((row["id"], rows.task_class(row)) for row in await self._fetch("classes", missing))
        return {number: known[number] for number in ids}

    async def workers_with_load(self, names: Collection[str] | None) -> list[tuple[Worker, dict[int, int]]]:
        """Workers that take work, each with class -> held attempts."""
        found = await self._fetch("workers_taking_work", None if names is None else list(names))
        workers = [self._know(row) for row in found]
        load_of: dict[str, dict[int, int]] = {worker.id: {} for worker in workers}
        for row in await self._fetch("load_of_workers", list(load_of)) if workers else ():
            load_of[row["worker_id"]][row["class_id"]] = row["held"]
        return [(worker, load_of[worker.id]) for worker in workers]

    async def load_marks(self, ledger: Ledger, jobs: Collection[int]) -> None:
        """What stands against workers in these jobs, into *ledger*."""
        await blocking.load_marks(self._connection, ledger, jobs)

    async def classes_of_jobs(self, jobs: Collection[int]) -> dict[int, list[TaskClass]]:
        """The requirement classes of each job's tasks."""
        found = await self._connection.fetch(blocking.SQL["classes_of_jobs"], list(jobs))
        classes = await self.classes({row["class_id"] for row in found})
        of: dict[int, list[TaskClass]] = {job: [] for job in jobs}
        for row in found:
            of[row["job_id"]].append(classes[row["class_id"]])
        return of

    async def evidence(self, workers: Collection[str], now: datetime) -> dict[str, Evidence]:
        """How each of *workers* did lately, by what is saved."""
        return await evidence.evidence(self._connection, workers, now)

    async def workers_here(self) -> list[Worker]:
        """All workers that we hear, whatever they are willing to do."""
        return [self._know(row) for row in await self._connection.fetch(blocking.SQL["workers_here"])]

    async def ready_tasks(self, ledger: Ledger, looks: Mapping[int, int]) -> list[Candidate]:
        """The best ready tasks of each group, loaded into *ledger*."""
        found = await self._fetch("ready_tasks", list(looks), list(looks.values()))
        tasks = [rows.task(row) for row in found]
        await self._load_jobs_of(tasks)
        for task in tasks:
            ledger.tasks.setdefault(task.id, task)
        return [
            Candidate(
                task.id,
                ledger.groups[task.group_id].class_id,
                ledger.jobs[task.job_id].priority,
                task.priority,
                frozenset(task.failed_on),
                task.group_id,
            )
            for task in tasks
        ]

    async def orders(self, attempts: Sequence[Attempt]) -> list[Order]:
        """What each of *attempts* is told."""
        tasks = self._ledger.tasks
        specs = self._caches.specs
        needed = {tasks[one.task_id].spec_id for one in attempts}
        found = {number: specs[number] for number in needed if number in specs}
        missing = needed - found.keys()
        if missing:
            found.update((row["id"], Spec(row)) for row in await self._fetch("specs", list(missing)))
            for number in missing:
                specs[number] = found[number]
        accepted = await self._accepted([need for spec in found.values() for need in spec.row["after"]])
        return [order_of(tasks[one.task_id].job_id, found[tasks[one.task_id].spec_id], one.task_id, accepted)
                for one in attempts]  # fmt: skip

    async def _accepted(self, needs: Sequence[Mapping[str, Any]]) -> dict[int, int]:
        ranges = {(need["first"], need["first"] + need["count"] - 1) for need in needs}
        if not ranges:
            return {}
        firsts, lasts = zip(*ranges, strict=True)
        return {
            row["id"]: row["accepted_attempt"] for row in await self._fetch("accepted_in", list(firsts), list(lasts))
        }

    # --- writing -------------------------------------------------------------------------------------------

    async def save(self, ledger: Ledger) -> None:
        """Write what is dirty and forget that it was."""
        if ledger.recurring.changed:
            await recurring.save(self._connection, ledger)
        await saving.save(self._connection, ledger)

    async def finish(self, ledger: Ledger) -> None:
        """Write what is only ever added."""
        if ledger.recurring.changed:
            await recurring.finish(self._connection, ledger)
        await saving.finish(self._connection, ledger)

    async def _fetch(self, name: str, *arguments: Any) -> list[asyncpg.Record]:
        return await self._connection.fetch(LOAD[name], *arguments)


def _parked(row: asyncpg.Record) -> ParkedMessage:
    delivery = Delivery(
        queue=row["queue"],
        routing_key=row["routing_key"],
        body=row["body"],
        channel=0,
        tag=0,
        user_id=row["user_id"],
        message_id=row["message_id"],
        headers=row["headers"],
    )
    return ParkedMessage(row["id"], row["state"], delivery)
