"""What people ask for: the bodies of changes. A field that we do not know is a typing error."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Strict, Text, Word, WorkerName
from schemas.worker import Duty, RequestedState


class Reason(Strict):
    """Why an operator does something."""

    reason: Text | None = None


class Unblock(Reason):
    """Let workers have tasks of a job again: those named, else all that are blocked; of one kind, else of all."""

    workers: Annotated[list[WorkerName], Field(max_length=1000)] = Field(default_factory=list)
    kind: Word | None = None


class RequeueJob(Reason):
    """Start the next run of a job's failed tasks, and of its canceled ones too if asked."""

    canceled: bool = False


class StateWish(Reason):
    """The state that a worker is asked for: when what it holds has ended (`lazy`), or at once.

    What is lazy goes on at once after `within_s` seconds. With `only_from` it is refused unless the worker has this
    duty or is asked for it.
    """

    state: RequestedState
    lazy: bool = True
    within_s: Annotated[float | None, Field(gt=0, le=30 * 24 * 3600)] = None
    only_from: Duty | None = None


class Labels(Strict):
    """Exactly these labels are approved."""

    labels: Annotated[list[Word], Field(max_length=64)]


class PriorityWish(Reason):
    """Another priority for a job."""

    priority: Annotated[int, Field(ge=0, le=100)]


class TagsWish(Reason):
    """What the workers of a job's waiting tasks must have from now on, and what no longer."""

    add: Annotated[list[Word], Field(max_length=32)] = Field(default_factory=list)
    remove: Annotated[list[Word], Field(max_length=32)] = Field(default_factory=list)
    add_labels: Annotated[list[Word], Field(max_length=32)] = Field(default_factory=list)
    remove_labels: Annotated[list[Word], Field(max_length=32)] = Field(default_factory=list)


class KeepWish(Reason):
    """Whether a job is never archived."""

    keep: bool = True


class IdleWish(Strict):
    """What is done about a worker that has had nothing to do for so many seconds."""

    action: Literal["off", "notify", "stop"]
    after_s: Annotated[float, Field(ge=1, le=30 * 24 * 3600)] = 1800
