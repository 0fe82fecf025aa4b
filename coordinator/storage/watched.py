"""Tasks of workers behind gateways that are not the farm's: written in batches, without the farm's lock."""

from collections.abc import Sequence
from typing import Final

from coordinator.operations.ports import WatchedTask
from coordinator.storage.queries import load
from coordinator.storage.reading import Reader

SQL: Final = load("watched")


class PostgresWatched(Reader):
    """What `operations.ports.Watched` asks for. Raises UnavailableError when the database is away."""

    _SQL = SQL

    async def keep(self, protocol: str, tasks: Sequence[WatchedTask]) -> None:
        """Take over what was told of *tasks*, each of them once."""
        columns = zip(
            *(
                (
                    one.foreign_id, one.name, one.worker, one.queue, one.state, one.args, one.kwargs, one.retries,
                    one.sent_at, one.received_at, one.started_at, one.ended_at, one.run_s, one.result, one.error,
                    one.told_at,
                )
                for one in tasks
            ),
            strict=True,
        )  # fmt: skip
        await self._fetch("keep", protocol, *map(list, columns))

    async def forget(self, protocol: str, days: int) -> int:
        """Forget some of which nothing was heard for *days*; how many."""
        return len(await self._fetch("forget", protocol, days))
