"""What people and programs ask of the farm. Each goes through the one inbox and is answered when it is committed.

`await inbox.ask(request)` returns the answer named here, or raises one of the errors below.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from coordinator.domain.idle import IdlePolicy
from schemas.job import JobSpec
from schemas.task import OutputFile
from schemas.worker import RequestedState

Answer = TypeVar("Answer")


class RefusedError(Exception):
    """The farm says no, changed nothing, and says what to do about it (one line)."""


class NotFoundError(RefusedError):
    """There is no such job, task, worker or message."""


class InvalidError(RefusedError):
    """The request makes no sense on this farm, whatever its state: an unknown kind, for instance."""


class ConflictError(RefusedError):
    """The request does not fit the state that the thing is in."""


class UnplaceableError(InvalidError):
    """No worker of this farm could ever run it: a kind that none has ever offered, for instance."""


class UnavailableError(Exception):
    """The database or the broker is away: the request was not carried out, ask again later (one line)."""


class Request(Generic[Answer]):
    """Something asked for, with the type of its answer."""


@dataclass(frozen=True)
class Submitted:
    """The job, and whether this submission made it (false: an earlier one with the same key did)."""

    job: int
    created: bool
    tasks: int


@dataclass(frozen=True)
class Changed:
    """How many tasks (or workers, or messages) the request changed; a large job goes on in the background."""

    count: int
    continues: bool = False


@dataclass(frozen=True)
class SubmitJob(Request[Submitted]):
    """Take this job. `origin` says what it was made of: a template, a schedule."""

    spec: JobSpec
    actor: str
    origin: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class CancelJob(Request[Changed]):
    """Cancel all tasks of this job that are not finished."""

    job: int
    actor: str
    reason: str | None = None


@dataclass(frozen=True)
class UnblockWorkers(Request[Changed]):
    """Let these workers (none named: all that are blocked) have tasks of this kind (None: all) in the job again."""

    job: int
    actor: str
    workers: tuple[str, ...] = ()
    kind: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class CancelTasks(Request[Changed]):
    """Cancel these tasks; finished ones are refused."""

    tasks: tuple[int, ...]
    actor: str
    reason: str | None = None


@dataclass(frozen=True)
class RequeueTasks(Request[Changed]):
    """Start the next run of these finished tasks. Their finished dependents keep their result."""

    tasks: tuple[int, ...]
    actor: str
    reason: str | None = None


@dataclass(frozen=True)
class RequeueFailed(Request[Changed]):
    """Start the next run of every failed (and, if asked, canceled) task of this job."""

    job: int
    actor: str
    reason: str | None = None
    canceled: bool = False


@dataclass(frozen=True)
class RequestWorkerState(Request[Changed]):
    """Ask a worker to change its state, at once or when what it holds has ended (`lazy`).

    What is lazy goes on at once after `within_s` seconds, if that is given. With `only_from` it is refused unless the
    worker has this duty, or is asked for it.
    """

    worker: str
    state: RequestedState
    actor: str
    lazy: bool = True
    reason: str | None = None
    within_s: float | None = None
    only_from: str | None = None


@dataclass(frozen=True)
class SetSleepSchedule(Request[Changed]):
    """Let a worker sleep by this schedule (None: by none), as `{"zone", "asleep", "lazy", "within_s"}`; a range of
    `asleep` is `{"days": ["mon", ...], "start": "22:00", "end": "06:00"}`."""

    worker: str
    schedule: Mapping[str, Any] | None
    actor: str


@dataclass(frozen=True)
class SetIdlePolicy(Request[Changed]):
    """What is done when this worker is idle (None: what the farm's policy says)."""

    worker: str
    policy: IdlePolicy | None
    actor: str


@dataclass(frozen=True)
class SetIdleDefault(Request[Changed]):
    """What is done about idle workers that have no policy of their own."""

    policy: IdlePolicy
    actor: str


@dataclass(frozen=True)
class RemoveWorker(Request[Changed]):
    """Forget a worker that is gone."""

    worker: str
    actor: str
    reason: str | None = None


@dataclass(frozen=True)
class LabelWorker(Request[Changed]):
    """Approve exactly these labels for a worker."""

    worker: str
    labels: tuple[str, ...]
    actor: str


@dataclass(frozen=True)
class ReplayParked(Request[Changed]):
    """Put a parked message through the same checks again."""

    parked: int
    actor: str


@dataclass(frozen=True)
class DropParked(Request[Changed]):
    """Put a parked message aside for good (its row stays, closed)."""

    parked: int
    actor: str


@dataclass(frozen=True)
class RecordOutput(Request[Changed]):
    """A worker has uploaded this output of an attempt that is its own."""

    task: int
    attempt: int
    worker: str
    file: OutputFile


@dataclass(frozen=True)
class ThawZone(Request[Changed]):
    """Give up who is suspect in a frozen zone: they are gone indeed."""

    zone: str
    actor: str
    reason: str | None = None
