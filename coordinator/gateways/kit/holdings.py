"""What workers behind gateways hold: for those protocols whose workers have to be called."""

from collections.abc import Mapping, Sequence
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


class Holdings(Protocol):
    """Where it is read. Raises UnavailableError when the database is away."""

    async def holders(self, protocol: str, worker: str | None = None) -> Sequence[Holder]:
        """The workers of *protocol*, or this one of them."""

    async def found(self, task: int | str, protocol: str, host: str) -> Found | None:
        """The task of this number, or the first of the job of this key, with the attempt of a worker at *host*."""
