"""What the inside needs of storage: one transaction that loads what a batch wants and writes what it changed."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

from coordinator.domain.attempt import Attempt
from coordinator.domain.budget import Rules
from coordinator.domain.health import Evidence
from coordinator.domain.limits import Held
from coordinator.domain.matching import Candidate, Group, TaskClass
from coordinator.domain.worker import Worker
from coordinator.operations.jobs import Growing, Grown
from coordinator.operations.ledger import Ledger
from coordinator.operations.submission import Draft
from coordinator.operations.wanted import Wanted


class StoreUnavailableError(Exception):
    """The database cannot be used just now (away, overloaded, read-only, full, locked): the same batch can be tried
    again as it is. If it struck during COMMIT the outcome is unknown, and trying again is right all the same."""


class BadBatchError(Exception):
    """The database refuses what this batch would write; `detail` are its words."""

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail)


@dataclass(frozen=True)
class Order:
    """What an assigned attempt is told beside its numbers: the task as submitted, filled in for its element."""

    job_id: int
    name: str
    #: The part that all elements share or that was filled in, as the inside of a JSON object.
    body: str
    #: (name, first task, accepted attempts of first, first + 1, …)
    inputs: Sequence[tuple[str, int, list[int]]]


class Transaction(Protocol):
    """One transaction under the farm's lock."""

    async def load(self, wanted: Wanted) -> Ledger:
        """All rows that *wanted* names."""

    async def insert_jobs(self, ledger: Ledger, drafts: Sequence[Draft]) -> list[Growing]:
        """Number the drafts and insert their jobs, classes, groups and specs. Fills in `draft.job`."""

    async def growing(self, ledger: Ledger, jobs: Collection[int]) -> list[Growing]:
        """The jobs with the specs of their next tasks."""

    async def insert_tasks(self, grown: Grown) -> None:
        """Insert tasks and dependencies."""

    async def rules(self) -> Rules:
        """What operators have set; asked after `groups_with_work`."""

    async def held(self, ledger: Ledger) -> list[Held]:
        """What is held on the whole farm, by class, submitter and limited job."""

    async def turns(self) -> dict[tuple[str, str], int]:
        """(queue, submitter) -> when he was served last, by fair share."""

    async def groups_with_work(self) -> list[Group]:
        """The groups with ready tasks."""

    async def classes(self, ids: Collection[int]) -> dict[int, TaskClass]:
        """Requirement classes by number."""

    async def workers_with_load(self, names: Collection[str] | None) -> list[tuple[Worker, dict[int, int]]]:
        """Workers that take work (all, or those in *names*), each with class -> held attempts."""

    async def load_marks(self, ledger: Ledger, jobs: Collection[int]) -> None:
        """What stands against workers in these jobs, into *ledger*."""

    async def classes_of_jobs(self, jobs: Collection[int]) -> dict[int, list[TaskClass]]:
        """The requirement classes of each job's tasks."""

    async def evidence(self, workers: Collection[str], now: datetime) -> dict[str, Evidence]:
        """How each of *workers* did lately, by what is saved."""

    async def workers_here(self) -> list[Worker]:
        """All workers that we hear, whatever they are willing to do."""

    async def ready_tasks(self, ledger: Ledger, looks: Mapping[int, int]) -> list[Candidate]:
        """The best ready tasks of each group (group -> how many), loaded into *ledger*."""

    async def orders(self, attempts: Sequence[Attempt]) -> list[Order]:
        """What each of *attempts* is told, in order."""

    async def save(self, ledger: Ledger) -> None:
        """Write what is dirty, one statement per table, and forget that it was."""

    async def finish(self, ledger: Ledger) -> None:
        """Write what is only ever added: history, outputs, parked messages, duties."""


class Store(Protocol):
    """Where transactions come from."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction under the farm's lock, committed at the end of the block. Raises `StoreUnavailableError` or
        `BadBatchError`, at any point."""


@dataclass(frozen=True)
class LogChunk:
    """A piece of an attempt's log."""

    day: date
    task: int
    attempt: int
    chunk: int
    text: str


@dataclass(frozen=True)
class Beat:
    """What a heartbeat writes."""

    worker: str
    epoch: int
    seq: int
    stats: Mapping[str, Any] | None
    open_sessions: int
    #: How long before it the worker was last active; None when it does not say.
    inactive_s: float | None


@dataclass(frozen=True)
class Heard:
    """What a coordinator heard since it last said so: from which queues it consumed something, whether it was
    interrupted, whether it has the broker's own word, and whether the broker takes nothing from it. `connection` is the
    one on which it consumes."""

    connection: str
    events: bool
    heartbeats: bool
    interrupted: bool
    broker: bool
    blocked: bool
