"""Log partitions: made some days ahead, dropped when they are older than the retention."""

from typing import Protocol

EVERY_S = 60.0


class LogPartitions(Protocol):
    """Where the logs are."""

    async def partition_logs(self, retention_days: int) -> None:
        """Make and drop partitions."""


class Archivist:
    """Keeps the partitions."""

    def __init__(self, logs: LogPartitions, retention_days: int) -> None:
        self._logs = logs
        self._retention_days = retention_days

    async def keep(self) -> None:
        """One round."""
        await self._logs.partition_logs(self._retention_days)
