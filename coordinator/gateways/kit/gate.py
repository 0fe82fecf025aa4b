"""What a gateway's routes work with: the one inbox, and the credentials that were made for it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from cachetools import TTLCache
from prometheus_client import CollectorRegistry

from coordinator.api.door import BELIEF_S, Found, Shelf
from coordinator.api.farm import Ask, Farm
from coordinator.domain.access import Token, admit, gateway_prefix_of
from coordinator.domain.outcome import Refused
from coordinator.gateways.kit.holdings import Holdings
from coordinator.operations.ports import Dial, Guest, Watched
from coordinator.operations.requests import Request, UnavailableError
from coordinator.operations.store import StoreUnavailableError

A = TypeVar("A")

#: The writer answers within this many seconds, or the client is told to try again.
ANSWER_S: Final = 10.0
#: Characters of a log that are kept as one piece.
LOG_PIECE: Final = 8 * 1024


class Errand(Protocol):
    """A worker that is asked for something that somebody else has to bring about.

    It was asked for at `since`; by now it has so many sessions open, and was last active at `active_at` (our clock).
    """

    @property
    def worker(self) -> str: ...  # noqa: D102 - its name here
    @property
    def foreign_id(self) -> str: ...  # noqa: D102 - what its own protocol calls it
    @property
    def if_idle(self) -> bool: ...  # noqa: D102 - a question that who is busy refuses
    @property
    def reason(self) -> str | None: ...  # noqa: D102
    @property
    def by(self) -> str | None: ...  # noqa: D102
    @property
    def since(self) -> datetime: ...  # noqa: D102
    @property
    def open_sessions(self) -> int: ...  # noqa: D102
    @property
    def active_at(self) -> datetime | None: ...  # noqa: D102


class Errands(Protocol):
    """Where the errands are. Raises UnavailableError when the database is away."""

    async def to_stop(self, protocol: str) -> Sequence[Errand]:
        """Workers of *protocol* that are asked to go."""


class Journal(Protocol):
    """Where the logs of attempts are. Raises StoreUnavailableError when the database is away."""

    async def add_to_log(self, worker: str, task: int, attempt: int, pieces: Sequence[str]) -> None:
        """Add *pieces* to the end of the log of an attempt that is *worker*'s; of another's nothing is kept."""


def _nowhere(url: str, _purpose: str) -> Guest:
    raise UnavailableError(f"nobody dials {url}")


@dataclass(frozen=True)
class Gate:
    """One for all gateways of a coordinator. `farm` is what the API works with: its views, its copies of files, its
    door. `dial` makes lines to the brokers of others, `registry` holds metrics."""

    inbox: Ask
    shelf: Shelf
    errands: Errands
    holdings: Holdings
    farm: Farm
    journal: Journal
    watched: Watched
    settings: Mapping[str, Any] = field(default_factory=dict)
    dial: Dial = _nowhere
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    _believed: TTLCache[str, Found] = field(default_factory=lambda: TTLCache(65_536, BELIEF_S))

    async def ask(self, request: Request[A]) -> A:
        """The writer's answer to *request*."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self.inbox(request)
        except TimeoutError:
            raise UnavailableError(f"not answered within {ANSWER_S:.0f} s: try again") from None

    async def note(self, worker: str, task: int, attempt: int, text: str) -> None:
        """Add *text* to the log of an attempt, if it is *worker*'s."""
        pieces = [text[at : at + LOG_PIECE] for at in range(0, len(text), LOG_PIECE)]
        try:
            await self.journal.add_to_log(worker, task, attempt, pieces)
        except StoreUnavailableError:
            raise UnavailableError("the database cannot be reached: try again") from None

    async def bearer(self, gateway: str, token: str) -> Token | Refused:
        """Whose *token* this is, if it was made for *gateway*: believed for a second, as all tokens."""
        return await self.holder(gateway, gateway_prefix_of(token) or "", token)

    async def holder(self, gateway: str, prefix: str, secret: str) -> Token | Refused:
        """Who has the credential of this *prefix* (an access key, a user's name), if *secret* is its secret."""
        if not prefix:
            return Refused("unknown", "call", "the credential is wrong")
        found = self._believed.get(prefix)
        if found is None:
            found = self._believed[prefix] = await self.shelf.find(prefix)
        kept, now = found
        if kept is None:
            return Refused("unknown", "call", "the credential is wrong")
        caller = admit(kept, secret, now, gateway)
        return caller if isinstance(caller, Refused) else kept
