"""What both clients do alike: how a call is put to httpx, and what its answer or its failure means."""

import getpass
import os
import socket
import ssl
from typing import Any, Final, TypeVar

import httpx
from pydantic import ValidationError

from coordinator.client.calls.call import Call
from coordinator.client.errors import FarmhandError
from schemas.views import Problem

T = TypeVar("T")

DEFAULT_URL: Final = "http://127.0.0.1:8600"
_TIMEOUT: Final = httpx.Timeout(70.0, connect=5.0)
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_FIRST_ERROR: Final = 400


def options(url: str, token: str | None, actor: str | None) -> dict[str, Any]:
    """What httpx is to be made with. Raises FarmhandError for a URL that cannot be one."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    sound = bool(parsed.host) and all(sign.isalnum() or sign in "-._:" for sign in parsed.host)
    if parsed.scheme not in ("http", "https") or not sound:
        raise FarmhandError(f"{url!r} is not a URL such as {DEFAULT_URL}", status=400, kind="url")
    headers: list[tuple[bytes, bytes]] = [
        (b"X-Farmhand-Actor", (actor or _whoami()).encode()),
        (b"User-Agent", b"farmhand-client"),
    ]
    if token:
        headers.append((b"Authorization", f"Bearer {token}".encode()))
    base = str(parsed).rstrip("/") + "/api/v1/"
    return {
        "base_url": base,
        "headers": headers,
        "timeout": _TIMEOUT,
        "trust_env": parsed.host not in _LOOPBACK,
        # Reading the authorities takes longer than most calls; without TLS there is nothing to verify.
        "verify": True if parsed.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    }


def _whoami() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def request_of(call: Call[Any]) -> dict[str, Any]:
    """What httpx is to send."""
    return {
        "method": call.method,
        "url": call.path,
        "params": {key: value for key, value in call.query.items() if value is not None},
        "content": call.body,
        "headers": {"Content-Type": "application/json"} if call.body is not None else {},
    }


def answer_of(call: Call[T], response: httpx.Response) -> T:
    """What the answer means. Raises FarmhandError for a refusal, or when a stranger answers."""
    if response.status_code >= _FIRST_ERROR:
        raise _problem(response)
    try:
        return call.read(response)
    except (ValidationError, KeyError, ValueError):
        raise _stranger(response) from None


def _problem(response: httpx.Response) -> FarmhandError:
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        return _stranger(response)
    kind = problem.type.rpartition(":")[2]
    return FarmhandError(problem.detail, status=response.status_code, kind=kind, field=problem.field)


def _stranger(response: httpx.Response) -> FarmhandError:
    url = response.request.url
    said = f"what answers at {url.scheme}://{url.netloc.decode()} is not a Farmhand coordinator of this release"
    return FarmhandError(f"{said} (status {response.status_code})", kind="stranger")


def unreached(error: httpx.HTTPError, base: httpx.URL) -> FarmhandError:
    """The error for a call that got no answer."""
    place = f"{base.scheme}://{base.netloc.decode()}"
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        said = f"no coordinator answers at {place}: start one (farmhand up), or set FARMHAND_URL"
    elif isinstance(error, httpx.TimeoutException):
        said = f"the coordinator at {place} did not answer in time"
    else:
        said = f"the connection to {place} broke: {str(error) or type(error).__name__}"
    return FarmhandError(said, kind="unreachable")
