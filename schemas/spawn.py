"""Dynamic tasks: a running attempt adds a task to its own job."""

from hashlib import sha256
from typing import Literal

from schemas.job import TaskSpec
from schemas.task import AttemptRef


class TaskSpawn(AttemptRef):
    """The attempt adds a task, or an array of them, to its job.

    The name is the key: within one run of the spawning task it is added once, whoever says it again. `after` names
    tasks that the same run has added before.
    """

    type: Literal["task.spawn"] = "task.spawn"
    spec: TaskSpec


def mark_of(name: str) -> str:
    """How a report names an added task (`TaskFinished.added`): short, so that a thousand of them fit."""
    return sha256(name.encode()).hexdigest()[:8]
