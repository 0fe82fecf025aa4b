"""The coordinator's own row: that it is there, what it consumes, and since when it hears the workers without a break.

After its start and after each interruption every worker has a full `lost_after` before it is judged by its silence; and
while it consumes nothing, which the row tells the others, nobody is lost at all.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from coordinator.duties.periodic import attempt
from coordinator.operations.store import Heard

EVERY_S: Final = 1.0
#: While it does not hear, it looks more often.
DEAF_EVERY_S: Final = 0.1


class Presence(Protocol):
    """Where the row is."""

    async def here(self, coordinator: str, software: str, connection: str) -> None:
        """It starts."""

    async def alive(self, coordinator: str, software: str, heard: Heard) -> None:
        """It is there."""


class Hearing(Protocol):
    """One queue that it consumes."""

    @property
    def lives(self) -> int:
        """How many times it began to consume."""

    @property
    def consuming(self) -> bool:
        """Whether the broker delivers."""

    @property
    def acknowledged(self) -> int:
        """How many deliveries it has dealt with."""


class Herald:
    """Writes the row."""

    def __init__(
        self,
        coordinator: str,
        software: str,
        presence: Presence,
        events: Hearing,
        heartbeats: Hearing,
        road: Callable[[], Awaitable[tuple[str, bool, bool]]],
    ) -> None:
        """*road* tells the name of the connection on which it consumes, whether it has the broker's own word, and
        whether the broker takes nothing from it."""
        self._coordinator = coordinator
        self._software = software
        self._presence = presence
        self._events = events
        self._heartbeats = heartbeats
        self._road = road
        self._lives: tuple[int, int] | None = None
        self._said = (0, 0)

    @property
    def steady(self) -> bool:
        """Whether it hears, and has ever since it last said so: whoever is not heard is not there."""
        return self._consuming and self._lives == self._now_lives

    @property
    def _consuming(self) -> bool:
        return self._events.consuming and self._heartbeats.consuming

    @property
    def _now_lives(self) -> tuple[int, int]:
        return self._events.lives, self._heartbeats.lives

    async def run(self) -> None:
        """For ever."""
        while True:
            await attempt(self.announce)
            await asyncio.sleep(EVERY_S if self.steady else DEAF_EVERY_S)

    async def announce(self) -> None:
        """One round: while we do not hear, silence means nothing."""
        connection, broker, blocked = await self._road()
        if self._lives is None:
            await self._presence.here(self._coordinator, self._software, connection)
        interrupted, lives = not self.steady, self._now_lives
        done = self._events.acknowledged, self._heartbeats.acknowledged
        heard = Heard(connection, done[0] > self._said[0], done[1] > self._said[1], interrupted, broker, blocked)
        await self._presence.alive(self._coordinator, self._software, heard)
        self._lives, self._said = lives, done
