"""What both clients need to stay with something that goes on: pure, they bring the calls and the pauses."""

from typing import Final

from coordinator.client.calls.call import Call
from coordinator.client.calls.jobs import log
from coordinator.client.errors import FarmhandError
from schemas.views import LogPart

#: So many parts in a row may bring nothing before a missing chunk is given up.
_EMPTY_PARTS: Final = 5


class Patience:
    """Puts up with an absent coordinator for some seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: float | None = None

    def lost(self, error: FarmhandError, now: float) -> None:
        """Raise *error* unless it may pass, and has not lasted too long at the monotonic time *now*."""
        self._since = now if self._since is None else self._since
        if not error.unreachable or error.kind == "stranger" or now - self._since > self._seconds:
            raise error

    def found(self) -> None:
        """It answered."""
        self._since = None


class Follower:
    """Where a reader of a growing log stands.

    Chunks may come out of order: a part ends before the first that is missing, until nothing came for some parts.
    """

    def __init__(self, task: int, attempt: int | None) -> None:
        self._task = task
        self._attempt = attempt
        self._last = -1
        self._empty = 0
        self.done = False

    def call(self) -> Call[LogPart]:
        """What to ask next."""
        settled = self._empty < _EMPTY_PARTS
        return log(self._task, attempt=self._attempt, after=self._last, settled=settled)

    def took(self, part: LogPart) -> LogPart:
        """Note the answer; `done` when no more will come."""
        self._attempt = self._attempt or part.attempt or None
        self._empty = 0 if part.last > self._last else self._empty + 1
        self._last = part.last
        self.done = not part.live
        return part
