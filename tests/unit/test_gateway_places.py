"""Where gateways are: on the farm's own port, beside its API, or each on one of its own."""

from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from coordinator.gateways import GATEWAYS
from coordinator.gateways.hosting import chosen, hosts

MAIN = ("127.0.0.1", 8600)
ALL = {gateway.name for gateway in GATEWAYS}


async def found(app: Any) -> set[str]:
    """The gateways that answer there."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        answers = {name: await http.get(f"/gateways/{name}/openapi.json") for name in ALL}
    return {name for name, answer in answers.items() if answer.status_code == httpx.codes.OK}


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ("", {MAIN: set()}),
        ("all", {MAIN: ALL}),
        ("stencila,openwork@10.0.0.5:8601", {MAIN: {"stencila"}, ("10.0.0.5", 8601): {"openwork"}}),
        ("stencila@[::1]:80,openwork@[::1]:80", {MAIN: set(), ("::1", 80): {"stencila", "openwork"}}),
        ("flamenco_v3@127.0.0.1:8600", {MAIN: {"flamenco_v3"}}),
    ],
    ids=["none", "all", "one apart", "two together", "the port of the farm by name"],
)
async def test_each_answers_where_it_was_put_and_nowhere_else(
    said: str, where: dict[tuple[str, int], set[str]]
) -> None:
    settings = {"flamenco_v1_network": "127.0.0.0/8", "flamenco_v1_kinds": "exec", "flamenco_v1_poll_s": 10.0}
    gate: Any = SimpleNamespace(settings=settings, farm=SimpleNamespace(version="1", door=None, views=None, blobs=None))
    sites = hosts(FastAPI(openapi_url=None), chosen(said, GATEWAYS), gate, "1", MAIN)
    assert {place: await found(app) for place, app in sites.items()} == where
