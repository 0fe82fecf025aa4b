"""Who calls: the bearer of a token, or anybody where the farm is open.

Tokens are rows. What was read of them is believed for a second, so that calls cost no query each and a revocation is
felt on every coordinator within that second (on the one that carried it out at once).
"""

import hmac
from datetime import datetime
from typing import Final, Protocol, TypeAlias

from cachetools import TTLCache

from coordinator.domain.access import Auth, Caller, Token, admit, is_open, prefix_of
from coordinator.domain.outcome import Refused
from schemas.roles import Role
from schemas.views import TokenView

#: Seconds for which a token that was read is believed.
BELIEF_S: Final = 1.0
BOOTSTRAP: Final = "bootstrap"
AGENTS: Final = "agents"

Found: TypeAlias = tuple[Token | None, datetime]


class Shelf(Protocol):
    """Where the tokens are. Each question raises UnavailableError when the database is away."""

    async def find(self, prefix: str) -> Found:
        """The token of this prefix, and the time."""

    async def any(self) -> bool:
        """Whether a token was ever made."""

    async def tokens(self, *, revoked: bool = False) -> list[TokenView]:
        """All tokens, by name."""


class Door:
    """Lets callers in."""

    def __init__(
        self,
        shelf: Shelf | None = None,
        *,
        bootstrap: str | None = None,
        agents: str | None = None,
        auth: Auth = Auth.AUTO,
        exposed: bool = False,
    ) -> None:
        """*bootstrap* and *agents* are tokens that are settings: an admin's, and one for all agents; *exposed*: other
        machines can reach us."""
        self._shelf = shelf
        self._set = [
            (token.encode(), caller)
            for token, caller in ((bootstrap, Caller(BOOTSTRAP, Role.ADMIN)), (agents, Caller(AGENTS, Role.AGENT)))
            if token
        ]
        self._auth = auth
        self._exposed = exposed
        self._any_token = False
        self._believed: TTLCache[str, Found] = TTLCache(4096, BELIEF_S)
        self._believed_none: TTLCache[None, bool] = TTLCache(1, BELIEF_S)

    async def is_open(self) -> bool:
        """Whether no token is needed."""
        so_far = is_open(self._auth, bootstrap=bool(self._set), exposed=self._exposed, any_token=False)
        return so_far and (self._auth is Auth.OPEN or not await self._has_tokens())

    async def caller(self, authorization: str) -> Caller | Refused:
        """Who sends this Authorization header."""
        known = await self._bearer(authorization)
        return Caller(None, Role.ADMIN) if isinstance(known, Refused) and await self.is_open() else known

    def forget(self) -> None:
        """What was believed may have changed."""
        self._believed.clear()
        self._believed_none.clear()

    async def _bearer(self, authorization: str) -> Caller | Refused:
        scheme, _, given = authorization.partition(" ")
        if scheme != "Bearer" or not given:
            return Refused("unknown", "call", "an API token is needed")
        for expected, caller in self._set:
            if hmac.compare_digest(given.encode("utf-8", "replace"), expected):
                return caller
        prefix = prefix_of(given)
        if prefix is None or self._shelf is None:
            return Refused("unknown", "call", "the API token is wrong")
        found = self._believed.get(prefix)
        if found is None:
            found = self._believed[prefix] = await self._shelf.find(prefix)
        token, now = found
        return admit(token, given, now)

    async def _has_tokens(self) -> bool:
        """Once there was one, there always was."""
        if not self._any_token and self._shelf is not None and None not in self._believed_none:
            self._any_token = await self._shelf.any()
            self._believed_none[None] = True
        return self._any_token
