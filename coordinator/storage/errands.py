"""Workers behind gateways for whom something has to be brought about outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from coordinator.domain.asking import Source
from coordinator.storage.queries import load
from coordinator.storage.reading import Reader

SQL: Final = load("gateways")


@dataclass(frozen=True)
class Stop:
    """A worker that is asked to go, and what it has said since: what `gateways.kit.Errand` asks for."""

    worker: str
    foreign_id: str
    if_idle: bool
    reason: str | None
    by: str | None
    since: datetime
    open_sessions: int
    active_at: datetime | None


class PostgresErrands(Reader):
    """Reads them from the rows."""

    _SQL = SQL

    async def to_stop(self, protocol: str) -> Sequence[Stop]:
        """Workers of *protocol* that are asked to go."""
        return [
            Stop(
                worker=row["id"],
                foreign_id=row["foreign_id"],
                if_idle=row["requested_source"] == Source.IDLE,
                reason=row["requested_reason"],
                by=row["requested_by"],
                since=row["since"],
                open_sessions=row["open_sessions"],
                active_at=row["last_activity_at"],
            )
            for row in await self._fetch("to_stop", protocol)
        ]
