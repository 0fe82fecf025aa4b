"""What a rule answers when it says no."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refused:
    """The event does not fit the state: it came late, twice, or for something else. Nothing changes."""

    state: str
    event: str
    reason: str = "not in this state"
