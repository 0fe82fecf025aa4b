"""How long to wait before trying again: at once the first time, then longer, with jitter, up to a few seconds."""

import random
from collections.abc import Callable

FIRST_S = 0.2
CAP_S = 5.0


class Backoff:
    """The waits between the tries of one thing. `reset` it when the thing has worked for a while."""

    def __init__(self, *, cap_s: float = CAP_S, jitter: Callable[[], float] = random.random) -> None:
        """Waits of at most *cap_s*; *jitter* gives numbers from 0 to 1."""
        self._cap_s = cap_s
        self._jitter = jitter
        self._tries = 0

    def reset(self) -> None:
        """The thing works: the next wait is none."""
        self._tries = 0

    def next_s(self) -> float:
        """Seconds to wait before the next try."""
        tries, self._tries = self._tries, self._tries + 1
        if tries == 0:
            return 0.0
        full_s = min(self._cap_s, FIRST_S * float(1 << min(tries - 1, 16)))
        return full_s * (0.5 + 0.5 * self._jitter())
