"""What Flamenco 3's workers and its operators' programs send (Flamenco 3 API: WorkerRegistration, WorkerSignOn, …).

The API document asks for no lengths; ours only keep a row of a reasonable size. What a program has written into its log
may hold anything: it is mended, not refused, for their clients send an update once.
"""

import json
from typing import Annotated, Final

from pydantic import Field

from coordinator.gateways.kit import Lenient, Shown, Words

#: A body with a piece of log in it.
UPDATE_BYTES: Final = 8 * 1024 * 1024

TaskTypes = Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=1000)]
Name = Annotated[Shown, Field(max_length=512)]


class WorkerRegistration(Lenient):
    """A worker makes itself known. It has made up the secret itself."""

    secret: Annotated[str, Field(min_length=1, max_length=512)]
    platform: Annotated[Shown, Field(max_length=64)]
    supported_task_types: TaskTypes
    name: Name


class WorkerSignOn(Lenient):
    """A worker begins its work."""

    name: Name
    supported_task_types: TaskTypes
    software_version: Annotated[Shown, Field(max_length=128)]
    can_restart: bool = False


class WorkerStateChanged(Lenient):
    """A worker is in another state now: one of `translate.DUTIES`."""

    status: str


class TaskUpdate(Lenient):
    """What becomes of a task; what is missing stays as it is."""

    task_status: Annotated[str | None, Field(alias="taskStatus")] = None
    activity: Words | None = None
    log: Words | None = None
    steps_completed: Annotated[int | None, Field(ge=0, lt=2**31)] = None

    @classmethod
    def parse(cls, body: bytes) -> "TaskUpdate":
        """The update in *body*. Raises ValidationError, or ValueError for what is no JSON."""
        return cls.model_validate(json.loads(body))


#: A time of day; empty is midnight.
Clock = Annotated[str, Field(pattern=r"^(([01]\d|2[0-3]):[0-5]\d)?$")]


class StatusChange(Lenient):
    """What an operator asks of a worker."""

    status: Annotated[str, Field(max_length=64)]
    is_lazy: bool


class WorkerSleepSchedule(Lenient):
    """When a worker sleeps: on these days (`mo tu …`; none: on all) from the one time to the other."""

    is_active: bool
    days_of_week: Annotated[str, Field(max_length=100)]
    start_time: Clock
    end_time: Clock


class WorkerTag(Lenient):
    """A tag for workers. Its description is not kept."""

    name: Annotated[str, Field(max_length=512)]


class WorkerTagChange(Lenient):
    """The tags that a worker is to have."""

    tag_ids: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=32)]
