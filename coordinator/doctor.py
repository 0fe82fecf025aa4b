"""The doctor: looks at everything a farm stands on, and says what is wrong and what to do.

A coordinator does it for whoever asks over HTTP; where none answers, the command does it by itself, from the same
settings. Promises: it changes nothing, ends in bounded time, and every trouble is a line of the answer.
"""

import asyncio
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from coordinator.storage import examine as database
from coordinator.transport import examine as broker
from coordinator.transport import management
from schemas.views import CheckState, CheckView, Diagnosis

#: Each look has its own deadlines; these are for what nobody thought of.
DATABASE_S: Final = 50.0
BROKER_S: Final = 30.0
#: A coordinator has a handle for each call and connection.
FEW_FILES: Final = 1024


@dataclass(frozen=True)
class Places:
    """Where the farm is, by the settings."""

    database_url: str
    amqp_url: str
    management_url: str | None = None


class Doctor:
    """Looks for *by*, of release *version*. One look at a time: who asks meanwhile gets the same answer."""

    def __init__(
        self, places: Places, *, by: str, version: str, health: Callable[[], Sequence[str]] | None = None
    ) -> None:
        """*health* names what keeps the coordinator that asks from its work."""
        self._places = places
        self._by = by
        self._version = version
        self._health = health
        self._looking: asyncio.Task[Diagnosis] | None = None

    async def diagnose(self) -> Diagnosis:
        """Look at everything."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(self._looking)

    async def _look(self) -> Diagnosis:
        checks = [] if self._health is None else [self._itself(self._health())]
        found = database.Examined()
        try:
            async with asyncio.timeout(DATABASE_S):
                found = await database.examine(self._places.database_url)
        except TimeoutError:
            found.checks.append(_late("database", DATABASE_S))
        checks += found.checks
        try:
            async with asyncio.timeout(BROKER_S):
                seen = await broker.examine(self._places.amqp_url, agents=found.agents, coordinators=found.coordinators)
        except TimeoutError:
            seen = [_late("broker", BROKER_S)]
        checks += seen
        if not any(check.unreachable for check in seen):
            checks += await management.examine(self._places.management_url, self._places.amqp_url)
        return Diagnosis(by=self._by, version=self._version, at=datetime.now(UTC), checks=checks)

    def _itself(self, wrong: Sequence[str]) -> CheckView:
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if wrong:
            said, remedy, state = "; ".join(wrong), "see below, and its log", CheckState.WRONG
        elif most < FEW_FILES:
            said, remedy = f"it may open only {most} files", "raise LimitNOFILE of the coordinator"
            state = CheckState.WARNING
        else:
            said, remedy, state = "it hears the broker and writes to the database", "", CheckState.OK
        return CheckView(part="coordinator", name="works", state=state, said=said, remedy=remedy)


def _late(part: str, seconds: float) -> CheckView:
    said = f"was not done within {seconds:.0f} s"
    return CheckView(part=part, name="look", state=CheckState.UNKNOWN, said=said, remedy="is it overloaded?")
