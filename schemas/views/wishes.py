"""What people ask for: the bodies of changes. A field that we do not know is a typing error."""

from typing import Annotated

from pydantic import Field

from schemas.base import Strict, Text, Word
from schemas.worker import RequestedState


class Reason(Strict):
    """Why an operator does something."""

    reason: Text | None = None


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
