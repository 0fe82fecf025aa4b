"""Ends transactions of coordinators that were stopped in the middle of a statement, and hold what all others wait for.

Postgres ends by itself those that were stopped between two statements, but not those that were stopped after a
statement was prepared and before it was executed: there neither `statement_timeout` nor
`idle_in_transaction_session_timeout` is heeded while nothing comes.
"""

from typing import Protocol

import structlog

EVERY_S = 5.0

log = structlog.get_logger(__name__)


class Sessions(Protocol):
    """Where the sessions are."""

    async def end_stuck(self) -> list[int]:
        """End those that are stuck; for how many seconds each had been silent."""


class Usher:
    """Shows them out."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def look(self) -> None:
        """One round."""
        for silent_s in await self._sessions.end_stuck():
            log.warning("stopped_coordinator_cut_off", silent_s=silent_s, hint="its transaction is rolled back")
