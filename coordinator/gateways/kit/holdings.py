"""What workers behind gateways hold: for those protocols whose workers have to be called."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from coordinator.domain.attempt import AttemptState
from coordinator.domain.task import TaskState
from coordinator.domain.worker import Connection, Duty


class Held(Protocol):
    """An attempt that has not ended there; `key` is that of its job."""

    @property
    def task(self) -> int: ...  # noqa: D102
    @property
    def attempt(self) -> int: ...  # noqa: D102
    @property
    def state(self) -> AttemptState: ...  # noqa: D102
    @property
    def key(self) -> str | None: ...  # noqa: D102
    @property
    def activity(self) -> str | None: ...  # noqa: D102


class Holder(Protocol):
    """A worker of one slot, and what it holds."""

    @property
    def worker(self) -> str: ...  # noqa: D102 - its name here
    @property
    def foreign_id(self) -> str: ...  # noqa: D102 - what its own protocol calls it
    @property
    def connection(self) -> Connection: ...  # noqa: D102
    @property
    def duty(self) -> Duty: ...  # noqa: D102
    @property
    def platform(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def held(self) -> Held | None: ...  # noqa: D102


class Hold(Protocol):
    """An attempt that has not ended, told `sends` times to its worker."""

    @property
    def worker(self) -> str: ...  # noqa: D102
    @property
    def foreign_id(self) -> str: ...  # noqa: D102
    @property
    def connection(self) -> Connection: ...  # noqa: D102
    @property
    def platform(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def task(self) -> int: ...  # noqa: D102
    @property
    def attempt(self) -> int: ...  # noqa: D102
    @property
    def state(self) -> AttemptState: ...  # noqa: D102
    @property
    def sends(self) -> int: ...  # noqa: D102


class Found(Protocol):
    """A task, and the newest attempt of it at some workers, one that has not ended before one that has."""

    @property
    def task(self) -> int: ...  # noqa: D102
    @property
    def state(self) -> TaskState: ...  # noqa: D102
    @property
    def attempt(self) -> int | None: ...  # noqa: D102
    @property
    def attempt_state(self) -> AttemptState | None: ...  # noqa: D102
    @property
    def worker(self) -> str | None: ...  # noqa: D102
    @property
    def done(self) -> int | None: ...  # noqa: D102
    @property
    def total(self) -> int | None: ...  # noqa: D102


class Running(Protocol):
    """A live attempt, with the names of its task and of its job; it began (or was given) at `since`."""

    @property
    def task(self) -> int: ...  # noqa: D102
    @property
    def attempt(self) -> int: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def job(self) -> int: ...  # noqa: D102
    @property
    def job_name(self) -> str: ...  # noqa: D102
    @property
    def since(self) -> datetime: ...  # noqa: D102


class Given(Protocol):
    """An attempt, and the task that it is of: its commands are filled in for its element of an array."""

    @property
    def worker(self) -> str: ...  # noqa: D102 - its name here
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def job(self) -> int: ...  # noqa: D102
    @property
    def job_name(self) -> str: ...  # noqa: D102
    @property
    def submitter(self) -> str: ...  # noqa: D102
    @property
    def queue(self) -> str: ...  # noqa: D102
    @property
    def commands(self) -> Sequence[Mapping[str, Any]]: ...  # noqa: D102
    @property
    def assigned_at(self) -> datetime: ...  # noqa: D102
    @property
    def ended_at(self) -> datetime | None: ...  # noqa: D102


class Registered(Protocol):
    """A worker as a list of workers shows it; `reported_at` is when the newest sample of it was taken."""

    @property
    def worker(self) -> str: ...  # noqa: D102 - its name here
    @property
    def foreign_id(self) -> str: ...  # noqa: D102 - what its own protocol calls it
    @property
    def present(self) -> bool: ...  # noqa: D102 - online or suspect
    @property
    def platform(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def queues(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def lost_after_s(self) -> float: ...  # noqa: D102
    @property
    def online_at(self) -> datetime: ...  # noqa: D102
    @property
    def last_seen_at(self) -> datetime: ...  # noqa: D102
    @property
    def reported_at(self) -> datetime | None: ...  # noqa: D102
    @property
    def metrics(self) -> Sequence[str]: ...  # noqa: D102 - what it measures beside what all do
    @property
    def held(self) -> Running | None: ...  # noqa: D102
    @property
    def now(self) -> datetime: ...  # noqa: D102


class Holdings(Protocol):
    """Where it is read. Raises UnavailableError when the database is away."""

    async def holders(self, protocol: str, worker: str | None = None) -> Sequence[Holder]:
        """The workers of *protocol*, or this one of them."""

    async def holds(self, protocol: str, worker: str | None = None) -> Sequence[Hold]:
        """All that the workers of *protocol*, or this one of them, hold."""

    async def found(self, task: int | str, protocol: str, host: str) -> Found | None:
        """The task of this number, or the first of the job of this key, with the attempt of a worker at *host*."""

    async def roster(self, protocol: str) -> Sequence[Registered]:
        """All workers of *protocol*, by name, whether they are there or not."""

    async def of_session(self, protocol: str, session: str) -> str | None:
        """Which worker of *protocol* has spoken last under this session, by its platform's word."""

    async def session_of(self, protocol: str, worker: str) -> str | None:
        """Under which session this worker has spoken last; None: there is no such worker."""

    async def given(self, task: int, attempt: int) -> Given | None:
        """This attempt; None: there is none."""
