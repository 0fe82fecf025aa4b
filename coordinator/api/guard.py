"""Who may call at all: bearers of tokens; and protection against web pages that call a farm from somebody's browser.

Where tokens are needed, every call below `/api/` needs one. Where the farm is open, whoever reaches the port may do
anything; so that this is not every web site that an operator looks at, names of hosts are then restricted (a page of
attacker.example that makes its own name point here still sends that name), and open or not a change is refused that
says it comes from another site.
"""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from coordinator.api.door import Door
from coordinator.api.problems import problem
from coordinator.domain.outcome import Refused
from coordinator.operations.requests import UnavailableError

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PRIVATE_SUFFIXES: Final = ("localhost", "local", "lan", "internal", "intranet", "home.arpa", "test")


class Guard:
    """Lets only those calls into *app* that may come in; what they may do there is `roles`' affair."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, or answer it here."""
        refused = await self._refusal(Request(scope)) if scope["type"] == "http" else None
        await (refused or self._app)(scope, receive, send)

    async def _refusal(self, request: Request) -> Response | None:
        """Why *request* may not come in, as an answer; None when it may: then its state has the `caller`."""
        protected = request.url.path.startswith("/api/")
        try:
            is_open = await self._door.is_open()
            caller = await self._door.caller(request.headers.get("authorization", "")) if protected else None
        except UnavailableError as error:
            if protected:
                return problem(503, str(error), kind="unavailable", headers={"Retry-After": "2"})
            is_open, caller = True, None
        if is_open and not is_private_host(request.headers.get("host", "")):
            return problem(
                421, "without FARMHAND_API_TOKEN only IP addresses and private names are accepted as host", kind="host"
            )
        if request.method not in _SAFE and is_cross_site(request):
            return problem(403, "changes that come from a page of another site are refused", kind="cross-site")
        if isinstance(caller, Refused):
            return problem(
                401,
                f"{caller.reason}: set FARMHAND_API_TOKEN",
                kind="unauthorized",
                headers={"WWW-Authenticate": 'Bearer realm="farmhand"'},
            )
        request.state.caller = caller
        return None


def is_private_host(host: str) -> bool:
    """Whether the Host header *host* cannot be a name of the public internet: an address, a plain or a private name."""
    name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(tuple(f".{suffix}" for suffix in _PRIVATE_SUFFIXES))
    return True


def is_cross_site(request: Request) -> bool:
    """Whether a browser says that *request* comes from a page of another site."""
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()
