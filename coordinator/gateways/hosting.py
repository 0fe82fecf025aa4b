"""Which gateways are on, and where: all on the farm's own port, or each on one of its own."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from coordinator.gateways.kit import Gate, Gateway, application

_PLACE: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+):(\d{1,5})")
_HIGHEST_PORT: Final = 65535


@dataclass(frozen=True)
class Place:
    """Where a gateway is; without a host and a port, where the farm's own API is."""

    gateway: Gateway
    host: str | None = None
    port: int | None = None


def chosen(text: str, known: Sequence[Gateway]) -> list[Place]:
    """The gateways that *text* names: `all`, or `NAME` or `NAME@HOST:PORT` with commas between them.

    Raises ValueError, in words for people.
    """
    if text == "all":
        return [Place(gateway) for gateway in known]
    by_name = {gateway.name: gateway for gateway in known}
    places: list[Place] = []
    for word in filter(None, text.split(",")):
        name, at, place = word.partition("@")
        if name not in by_name:
            raise ValueError(f"there is no gateway {name!r}; there are all, {', '.join(sorted(by_name))}")
        match = _PLACE.fullmatch(place)
        if at and (match is None or not 0 < int(match[2]) <= _HIGHEST_PORT):
            raise ValueError(f"{word}: that is not NAME@HOST:PORT, such as {name}@127.0.0.1:8601")
        if any(other.gateway.name == name for other in places):
            raise ValueError(f"gateway {name} is named twice")
        places.append(Place(by_name[name], match[1].strip("[]"), int(match[2])) if match else Place(by_name[name]))
    return places


class Shared:
    """Several applications on one port: each has the paths that are its own, and *inner* all the others."""

    def __init__(self, inner: ASGIApp | None, gateways: Sequence[tuple[Gateway, ASGIApp]]) -> None:
        self._inner = inner or Response(status_code=404)
        self._gateways = gateways

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on."""
        path = scope.get("path", "")
        app = next((app for gateway, app in self._gateways if gateway.owns(path)), self._inner)
        await app(scope, receive, send)


def hosts(
    inner: ASGIApp, places: Sequence[Place], gate: Gate, version: str, main: tuple[str, int]
) -> dict[tuple[str, int], ASGIApp]:
    """What is to be served where: *inner* and some gateways at *main*, others elsewhere."""
    by_place: dict[tuple[str, int], list[tuple[Gateway, ASGIApp]]] = {main: []}
    for one in places:
        where = main if one.host is None or one.port is None else (one.host, one.port)
        by_place.setdefault(where, []).append((one.gateway, application(one.gateway, gate, version)))
    return {where: Shared(inner if where == main else None, some) for where, some in by_place.items()}
