"""What people ask for: the bodies of changes. A field that we do not know is a typing error."""

from typing import Annotated

from pydantic import Field

from schemas.base import Strict, Text, Word, WorkerName
from schemas.worker import RequestedState


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
    """The state that a worker is asked for: when what it holds has ended (`lazy`), or at once."""

    state: RequestedState
    lazy: bool = True


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
