"""What one transaction knows of the farm, and what it changes.

Storage loads the rows that a batch of events speaks of; operations change them in memory through the methods here,
which keep the counters of jobs and groups, the history and the outgoing commands in step; storage writes back what is
dirty, one statement per table.
"""

from collections import defaultdict
from datetime import datetime
from typing import Any, Final

from coordinator.domain import attempt as attempts
from coordinator.domain import task as tasks
from coordinator.domain.access import Token
from coordinator.domain.attempt import Attempt, AttemptEvent, AttemptState, Ending
from coordinator.domain.blocklist import Mark, MarkKey
from coordinator.domain.job import JOB_FINISHED, Job, state_of
from coordinator.domain.outcome import Refused
from coordinator.domain.task import Task, TaskEvent, TaskState
from coordinator.domain.worker import Worker
from coordinator.operations.guarding import Guarding
from coordinator.operations.leasing import Leases
from coordinator.operations.outgoing import Outgoing
from coordinator.operations.records import (
    Accusation,
    Dependent,
    Entry,
    GroupRow,
    NewToken,
    ParkedMessage,
    Parking,
    Tended,
    Watch,
)
from coordinator.operations.recurring import Recurring
from coordinator.operations.ruling import Ruling
from coordinator.operations.signs import Foreign
from coordinator.operations.wanted import Key
from schemas.task import OutputFile

#: A task in these states may have a time before which it must not start.
_TIMED: Final = (TaskState.SCHEDULED, TaskState.BLOCKED, TaskState.PAUSED)


class Ledger:
    """The rows of one transaction; `now` is the database's time at its start, after the lock was had."""

    def __init__(self, now: datetime) -> None:  # noqa: PLR0915 - a line for each kind of row
        self.now = now
        self.workers: dict[str, Worker] = {}
        self.last_seen: dict[str, datetime] = {}
        self.guarding = Guarding(now)
        self.worker_count = 0
        self.held: dict[str, dict[Key, Attempt]] = {}
        self.jobs: dict[int, Job] = {}
        self.job_keys: dict[str, int] = {}
        self.groups: dict[int, GroupRow] = {}
        self.tasks: dict[int, Task] = {}
        self.attempts: dict[Key, Attempt] = {}
        self.live: dict[int, Attempt] = {}
        self.leases = Leases()
        self.dependents: dict[int, list[Dependent]] = {}
        self.slices: dict[int, list[int]] = {}
        self.due: list[int] = []
        self.watch = Watch()
        self.undelivered: list[Key] = []
        self.silent: list[str] = []
        self.known_kinds: frozenset[str] = frozenset()
        self.parked: dict[int, ParkedMessage] = {}
        self.duties: dict[str, datetime] = {}
        self.tokens: dict[str, Token] = {}
        self.recurring = Recurring()
        self.foreign = Foreign()
        # what changed
        self.tended = Tended()
        self.dirty_workers: set[str] = set()
        self.new_workers: set[str] = set()
        self.seen_workers: dict[str, int] = {}
        self.dirty_jobs: set[int] = set()
        self.dirty_groups: set[int] = set()
        self.ruling = Ruling()
        self.dirty_tasks: set[int] = set()
        self.dirty_attempts: set[Key] = set()
        #: The two hottest changes have narrow statements of their own: a few columns instead of all.
        self.completed: list[Attempt] = []
        self.assigned: list[Task] = []
        self.new_attempts: list[Attempt] = []
        self.outputs: list[tuple[int, int, OutputFile, str | None]] = []
        self.history: list[Entry] = []
        self.parkings: list[Parking] = []
        self.closed_parked: list[tuple[int, str, str]] = []
        self.duties_run: set[str] = set()
        #: By prefix; revoked ones with who did it.
        self.new_tokens: dict[str, NewToken] = {}
        self.revoked_tokens: dict[str, str] = {}
        # what follows
        self.capacity_at: set[str] = set()
        self.work_appeared = False
        #: Jobs that had enough failures: their other tasks are to be canceled.
        self.condemned: set[int] = set()
        #: What stands against workers, of the jobs whose blocklists were loaded; and what this transaction adds to it.
        self.marks: dict[MarkKey, Mark] = {}
        self.dirty_marks: set[MarkKey] = set()
        self.accusations: list[Accusation] = []
        #: Workers that failed tasks which nobody else has failed: perhaps they fail everywhere.
        self.suspects: set[str] = set()
        self.outgoing = Outgoing()
        self.counted: defaultdict[tuple[str, str], int] = defaultdict(int)

    # --- workers -------------------------------------------------------------------------------------------

    def forget_worker(self, name: str) -> None:
        """Its row goes; should it come again in the same transaction, it is a new one."""
        del self.workers[name]
        self.dirty_workers.discard(name)
        self.tended.removed.add(name)

    # --- tasks ---------------------------------------------------------------------------------------------

    def add_task(self, task: Task, live: Attempt | None = None) -> None:
        """A row, as loaded."""
        self.tasks[task.id] = task
        if live is not None:
            self.add_attempt(live)

    def add_attempt(self, attempt: Attempt) -> None:
        """A row, as loaded or as just made."""
        key = (attempt.task_id, attempt.attempt)
        self.attempts[key] = attempt
        if attempt.live:
            self.live[attempt.task_id] = attempt
        if attempt.state is not AttemptState.ENDED and attempt.worker_id in self.held:
            self.held[attempt.worker_id][key] = attempt

    def move(self, task: Task, event: TaskEvent, *, reason: str | None = None) -> bool:
        """Let *event* happen to *task*: its state and the counters of its job and group. False when it does not fit.

        What would be ready, but is exclusive and may still run somewhere, is scheduled for the end of that lease.
        """
        state = tasks.decide(task.state, event)
        if isinstance(state, Refused):
            return False
        free_at = self.leases.bars(task.id, self.now) if state is TaskState.READY and self.leases.held else None
        if free_at is not None:
            state, reason = TaskState.SCHEDULED, f"exclusive: may still run on {self.leases.held[task.id].worker_id}"
        job, group = self.jobs[task.job_id], self.groups[task.group_id]
        job.counts[task.state] -= 1
        job.counts[state] += 1
        self.dirty_jobs.add(job.id)
        if (task.state is TaskState.READY) != (state is TaskState.READY):
            group.ready += 1 if state is TaskState.READY else -1
            self.dirty_groups.add(group.id)
            self.work_appeared = self.work_appeared or state is TaskState.READY
        task.state = state
        task.reason = reason
        if free_at is not None:
            task.not_before = free_at
        elif state not in _TIMED:
            task.not_before = None
        self.dirty_tasks.add(task.id)
        return True

    # --- attempts ------------------------------------------------------------------------------------------

    def advance(self, attempt: Attempt, event: AttemptEvent, reported: Ending | None = None) -> bool:
        """Let *event* happen to *attempt*. False when it does not fit."""
        state = attempts.decide(attempt.state, event)
        if isinstance(state, Refused):
            return False
        key = (attempt.task_id, attempt.attempt)
        if state is AttemptState.ENDED:
            attempt.ending = attempts.ending_of(attempt.state, event, reported)
            attempt.ended_at = self.now
            self.counted["ending", attempt.ending] += 1
            self.capacity_at.add(attempt.worker_id)
            if attempt.state is not AttemptState.ENDED:
                self._let_go(attempt, key)
        attempt.state = state
        if not attempt.live and self.live.get(attempt.task_id) is attempt:
            del self.live[attempt.task_id]
        self.dirty_attempts.add(key)
        if not attempt.live and self.leases.held:
            self._close_lease(attempt, event)
        return True

    def _let_go(self, attempt: Attempt, key: Key) -> None:
        """It is held no more, by its worker and in its group."""
        group_id = self.tasks[attempt.task_id].group_id
        self.groups[group_id].held -= 1
        self.ruling.ended_in[group_id] += 1
        self.ruling.unsaved_held.add(group_id)
        if attempt.worker_id in self.held:
            self.held[attempt.worker_id].pop(key, None)

    def hear_end(self, attempt: Attempt) -> None:
        """The worker of an *attempt* that was given up says that it has ended all the same."""
        if self.leases.held:
            self._close_lease(attempt, AttemptEvent.REPORTED)

    def _close_lease(self, attempt: Attempt, event: AttemptEvent) -> None:
        """Its task is no more *attempt*'s. A task that waited for nothing but this lease is ready at once."""
        lease = self.leases.close(attempt, event)
        if lease is None or lease.free_at is None or event is not AttemptEvent.REPORTED:
            return
        task = self.tasks[attempt.task_id]
        if task.state is TaskState.SCHEDULED and task.not_before == lease.free_at:
            self.move(task, TaskEvent.DUE)
            self.note_task("task.ready", task)

    # --- the hot path --------------------------------------------------------------------------------------

    def complete(self, task: Task, attempt: Attempt) -> None:
        """The live *attempt* has done *task*."""
        key = (attempt.task_id, attempt.attempt)
        narrow = key not in self.dirty_attempts and task.id not in self.dirty_tasks
        self.advance(attempt, AttemptEvent.REPORTED, Ending.COMPLETED)
        attempt.accepted = True
        task.accepted_attempt = attempt.attempt
        self.move(task, TaskEvent.COMPLETED)
        if narrow:
            self.dirty_attempts.discard(key)
            self.dirty_tasks.discard(task.id)
            self.completed.append(attempt)

    def give(self, task: Task, attempt: Attempt, queue: str) -> None:
        """*attempt* is the ready *task*'s next; *queue* is where it waited."""
        narrow = task.id not in self.dirty_tasks
        task.attempt = attempt.attempt
        self.move(task, TaskEvent.ASSIGNED)
        self.add_attempt(attempt)
        self.new_attempts.append(attempt)
        self.groups[task.group_id].held += 1
        self.counted["assigned", queue] += 1
        if narrow:
            self.dirty_tasks.discard(task.id)
            self.assigned.append(task)

    # --- history -------------------------------------------------------------------------------------------

    def note_task(
        self,
        event: str,
        task: Task,
        *,
        attempt: Attempt | None = None,
        actor: str | None = None,
        detail: dict[str, Any] | None = None,
    ) -> None:
        """A row in the task's story, and in its worker's when *attempt* is given."""
        self.history.append(
            Entry(
                event,
                task.job_id,
                task.id,
                attempt.attempt if attempt else None,
                attempt.worker_id if attempt else None,
                actor,
                detail,
            )
        )

    def note_worker(
        self, event: str, worker: str, *, actor: str | None = None, detail: dict[str, Any] | None = None
    ) -> None:
        """A row in the worker's story."""
        self.history.append(Entry(event, None, None, None, worker, actor, detail))

    def note_job(self, event: str, job: int, *, actor: str | None = None, detail: dict[str, Any] | None = None) -> None:
        """A row in the job's story."""
        self.history.append(Entry(event, job, None, None, None, actor, detail))

    def note_farm(self, event: str, *, actor: str | None = None, detail: dict[str, Any] | None = None) -> None:
        """A row about the farm as a whole."""
        self.history.append(Entry(event, None, None, None, None, actor, detail))

    # --- at the end ----------------------------------------------------------------------------------------

    def settle_jobs(self) -> None:
        """Derive the state of every job whose tasks moved."""
        for job_id in self.dirty_jobs:
            job = self.jobs[job_id]
            state = state_of(
                job.counts,
                expanded=job.expanded,
                total=job.total,
                cancel_requested=job.cancel_requested_at is not None,
            )
            if state is job.state:
                continue
            job.state = state
            job.finished_at = self.now if state in JOB_FINISHED else None
            self.note_job(f"job.{state}", job_id)
