"""Samples of the machines: rolled up as soon as a stretch of time is complete, dropped when they are old."""

from typing import Protocol

EVERY_S = 60.0


class Figures(Protocol):
    """Where they are."""

    async def roll(self) -> int:
        """Roll up all that can be."""

    async def prune(self) -> None:
        """Make and drop partitions."""


class Statistician:
    """Keeps the figures."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    async def keep(self) -> None:
        """One round: room for what comes first."""
        await self._figures.prune()
        await self._figures.roll()
