"""The coordinator's own row: that it is there, and since when it hears the workers without a break.

After its start and after each reconnection to the broker every worker has a full `lost_after` before it is judged.
"""

from typing import Protocol

EVERY_S = 5.0


class Presence(Protocol):
    """Where the row is."""

    async def here(self, coordinator: str, software: str) -> None:
        """It starts."""

    async def alive(self, coordinator: str, *, interrupted: bool) -> None:
        """It is there."""


class Hearing(Protocol):
    """What tells whether we hear the workers."""

    @property
    def lives(self) -> int:
        """How many times it began to hear."""

    @property
    def consuming(self) -> bool:
        """Whether the broker delivers."""


class Herald:
    """Writes the row."""

    def __init__(self, coordinator: str, software: str, presence: Presence, hearing: Hearing) -> None:
        self._coordinator = coordinator
        self._software = software
        self._presence = presence
        self._hearing = hearing
        self._heard_by: int | None = None

    async def announce(self) -> None:
        """One round: while we do not hear, silence means nothing."""
        if self._heard_by is None:
            await self._presence.here(self._coordinator, self._software)
        deaf = not self._hearing.consuming or self._heard_by != self._hearing.lives
        await self._presence.alive(self._coordinator, interrupted=deaf)
        self._heard_by = self._hearing.lives
