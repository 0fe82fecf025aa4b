"""The call to a worker's own HTTP: only in the network that is configured, for a short time, and where it says itself.

No redirect is followed and no proxy asked, so that a worker cannot send its coordinator elsewhere; of an answer no more
than a little is read. Only `/info` may be long: while a program runs it holds all that this program has written.
"""

import asyncio
import json
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final

import httpx

from coordinator.gateways.flamenco_v1.translate import WORKING, place_of

#: Seconds for a connection, and for all of an answer.
CONNECT_S: Final = 2.0
ANSWER_S: Final = 5.0
AT_ONCE: Final = 100
LIMIT_BYTES: Final = 64 * 1024
INFO_BYTES: Final = 2 * 1024 * 1024


class UnheardError(Exception):
    """The worker did not do it: `refused` when nobody listens there, `status` what it answered, if it did."""

    def __init__(self, detail: str, *, refused: bool = False, status: int | None = None) -> None:
        super().__init__(detail)
        self.refused = refused
        self.status = status


class TooLongError(UnheardError):
    """It answered, and did not come to an end."""


def networks_of(setting: str) -> tuple[IPv4Network, ...]:
    """The networks that *setting* names, with commas between them. Raises ValueError."""
    return tuple(IPv4Network(one.strip()) for one in setting.split(",") if one.strip())


class Line:
    """Calls workers."""

    def __init__(self, networks: str) -> None:
        self._networks = networks_of(networks)
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S, pool=None),
            limits=httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=0),
            follow_redirects=False,
            trust_env=False,
        )

    def allows(self, host: IPv4Address) -> bool:
        """Whether workers may be there."""
        return any(host in network for network in self._networks)

    async def execute(self, foreign_id: str, order: Mapping[str, str]) -> None:
        """Give it a task. Raises UnheardError."""
        await self._call(foreign_id, "POST", "/execute_task", order)

    async def kill(self, foreign_id: str) -> None:
        """Have it kill what it runs. Raises UnheardError."""
        await self._call(foreign_id, "DELETE", "/kill")

    async def info(self, foreign_id: str) -> dict[str, Any]:
        """What it says of itself; who has more to say than is read has a program running. Raises UnheardError."""
        try:
            body = await self._call(foreign_id, "GET", "/info", most=INFO_BYTES)
        except TooLongError:
            return dict(WORKING)
        return _object(body, "/info")

    async def run_info(self, foreign_id: str) -> dict[str, Any]:
        """What it says of its machine. Raises UnheardError."""
        return _object(await self._call(foreign_id, "GET", "/run_info"), "/run_info")

    async def close(self) -> None:
        """Let go what is open."""
        await self._http.aclose()

    async def _call(
        self, foreign_id: str, method: str, path: str, form: Mapping[str, str] | None = None, *, most: int = LIMIT_BYTES
    ) -> bytes:
        host, port = place_of(foreign_id)
        if not self.allows(host):
            raise UnheardError(f"{host} is outside FARMHAND_FLAMENCO_V1_NETWORK")
        try:
            async with (
                asyncio.timeout(CONNECT_S + ANSWER_S),
                self._http.stream(method, f"http://{host}:{port}{path}", data=form) as answer,
            ):
                body = bytearray()
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > most:
                        raise TooLongError(f"{path} answered more than {most} bytes", status=answer.status_code)
        except (httpx.HTTPError, TimeoutError) as error:
            said = f"{method} http://{foreign_id}{path}: {type(error).__name__}"
            raise UnheardError(said, refused=_is_refused(error)) from None
        if not answer.is_success:
            raise UnheardError(f"{method} {path} answered {answer.status_code}", status=answer.status_code)
        return bytes(body)


def _object(body: bytes, path: str) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UnheardError(f"{path} is not a JSON object")
    return value


def _is_refused(error: BaseException | None) -> bool:
    """Whether the machine is there, and nobody listens."""
    while error is not None:
        if isinstance(error, ConnectionRefusedError):
            return True
        inner = error.__cause__ or error.__context__
        error = inner if isinstance(inner, Exception) else None
    return False
