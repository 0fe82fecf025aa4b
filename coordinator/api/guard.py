"""Who may call at all: the token, and protection against web pages that call a farm from somebody's browser.

With a token, every call below `/api/` needs it. Without one, whoever reaches the port may do anything; so that this is
not every web site that an operator looks at, names of hosts are then restricted (a page of attacker.example that makes
its own name point here still sends that name), and with or without a token a change is refused that says it
comes from another site.
"""

import hmac
import ipaddress
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from coordinator.api.problems import problem

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PRIVATE_SUFFIXES: Final = ("localhost", "local", "lan", "internal", "intranet", "home.arpa", "test")


class Guard:
    """Lets only those calls into *app* that may come in."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, or answer it here."""
        refused = refusal(Request(scope), self._expected) if scope["type"] == "http" else None
        await (refused or self._app)(scope, receive, send)


def refusal(request: Request, expected: bytes | None) -> Response | None:
    """Why *request* may not come in, as an answer; None when it may. *expected* is the Authorization header."""
    if expected is None and not is_private_host(request.headers.get("host", "")):
        return problem(
            421, "without FARMHAND_API_TOKEN only IP addresses and private names are accepted as host", kind="host"
        )
    if request.method not in _SAFE and _is_foreign(request):
        return problem(403, "changes that come from a page of another site are refused", kind="cross-site")
    if expected is not None and request.url.path.startswith("/api/"):
        given = request.headers.get("authorization", "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, expected):
            said = "the API token is wrong" if given else "an API token is needed"
            return problem(
                401, f"{said}: set FARMHAND_API_TOKEN", kind="unauthorized", headers={"WWW-Authenticate": "Bearer"}
            )
    return None


def is_private_host(host: str) -> bool:
    """Whether the Host header *host* cannot be a name of the public internet: an address, a plain or a private name."""
    name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(tuple(f".{suffix}" for suffix in _PRIVATE_SUFFIXES))
    return True


def _is_foreign(request: Request) -> bool:
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()
