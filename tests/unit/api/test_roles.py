"""What each route needs: every route says it, and no caller with less gets through."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from coordinator.api.door import Door
from coordinator.api.roles import BELOW, FREE, NEEDS, needed
from coordinator.domain.access import Token, allows
from coordinator.operations.access import Minted
from schemas.roles import Role
from schemas.views import TokenView
from tests.unit.api.conftest import Inbox, client


class Shelf:
    """Some tokens, and how often they were asked for."""

    def __init__(self, *roles: Role) -> None:
        self.minted = {role: Minted.fresh() for role in roles}
        self.kept = {
            made.prefix: Token(f"the-{role}", role, made.prefix, made.digest) for role, made in self.minted.items()
        }
        self.asked = 0

    def header(self, role: Role) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.minted[role].token}"}

    async def find(self, prefix: str) -> tuple[Token | None, datetime]:
        self.asked += 1
        return self.kept.get(prefix), datetime.now(UTC)

    async def any(self) -> bool:
        return bool(self.kept)

    async def tokens(self, *, revoked: bool = False) -> list[TokenView]:
        assert not revoked
        return []


def declared(app: FastAPI) -> set[tuple[str, str]]:
    """(method, path) of all routes."""
    return {
        (method, route.path_format or route.path or "")
        for route in iter_route_contexts(app.routes)
        for method in (route.methods or set()) - {"HEAD"}
    }


def test_every_route_says_what_it_needs_and_nothing_else_does(open_app: FastAPI) -> None:
    routes = declared(open_app)
    below = {(method, path.removeprefix(BELOW)) for method, path in routes if path not in FREE}
    assert below == set(NEEDS), "a new route is listed in coordinator/api/roles.py, with the role that it needs"
    assert {path for _, path in routes} >= FREE
    assert all(path.startswith(BELOW) for _, path in routes if path not in FREE)


def test_who_changes_something_is_more_than_a_viewer() -> None:
    for (method, path), role in NEEDS.items():
        assert (role is Role.VIEWER) == (method == "GET" and not path.startswith(("/access", "/doctor"))), (
            method,
            path,
        )


@pytest.mark.parametrize("role", Role)
async def test_a_caller_gets_through_exactly_where_its_role_is_enough(
    make_app: Callable[..., FastAPI], role: Role
) -> None:
    shelf = Shelf(role)
    app = make_app(tokens=shelf, door=Door(shelf))
    async with client(app) as http:
        for (method, path), need in NEEDS.items():
            for name in ("job", "task", "attempt", "parked"):
                path = path.replace(f"{{{name}}}", "1")  # noqa: PLW2901
            answer = await http.request(
                method, BELOW + path.replace("{worker}", "node-1"), headers=shelf.header(role), json={}
            )
            refused = answer.status_code == 403
            assert refused is not allows(role, need), (method, path, answer.text)
            if refused:
                problem = answer.json()
                assert problem["type"] == "urn:farmhand:problem:forbidden"
                assert f"the role {need}" in problem["detail"]
                assert f"the-{role}" in problem["detail"]


def test_a_route_that_nobody_listed_is_for_admins() -> None:
    assert needed("POST", "/api/v1/what/a/surprise") is Role.ADMIN


async def test_a_token_is_read_once_a_second_however_many_calls_there_are(make_app: Callable[..., FastAPI]) -> None:
    shelf = Shelf(Role.OPERATOR)
    async with client(make_app(tokens=shelf, door=Door(shelf))) as http:
        for _ in range(20):
            await http.post("/api/v1/parked/1/drop", headers=shelf.header(Role.OPERATOR))
    assert shelf.asked < 5


@pytest.mark.parametrize(
    ("header", "actor"),
    [(None, "the-operator"), ("ana@desk", "the-operator (ana@desk)"), ("x" * 300, f"the-operator ({'x' * 185})")],
)
async def test_a_change_is_told_under_the_name_of_the_token(
    make_app: Callable[..., FastAPI], inbox: Inbox, header: str | None, actor: str
) -> None:
    shelf = Shelf(Role.OPERATOR)
    headers = shelf.header(Role.OPERATOR) | ({"X-Farmhand-Actor": header} if header else {})
    async with client(make_app(tokens=shelf, door=Door(shelf))) as http:
        assert (await http.post("/api/v1/jobs/1/cancel", headers=headers)).status_code == 200
    (asked,) = inbox.asked
    assert asked.actor == actor


def test_the_document_says_what_each_route_needs(open_app: FastAPI) -> None:
    said: dict[str, Any] = open_app.openapi()["paths"]
    for (method, path), role in NEEDS.items():
        assert said[BELOW + path][method.lower()]["x-farmhand-role"] == role.value
