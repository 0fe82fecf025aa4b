"""Who may call: the token, the host, and pages of other sites."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI

from coordinator.api.door import Door
from coordinator.api.guard import is_private_host
from tests.unit.api.conftest import Inbox, client

CANCEL = "/api/v1/jobs/1/cancel"


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer wrong", "Basic hush", "bearer hush", "Bearer hush2"])
async def test_with_a_token_every_other_call_is_refused(
    make_app: Callable[..., FastAPI], inbox: Inbox, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    async with client(make_app(door=Door(bootstrap="hush"))) as http:
        change = await http.post(CANCEL, headers=headers)
        unknown = await http.get("/api/v1/nothing", headers=headers)
        document = await http.get("/api/v1/openapi.json", headers=headers)

    answers = (change, unknown, document)
    assert [answer.status_code for answer in answers] == [401] * 3
    assert all("FARMHAND_API_TOKEN" in answer.text for answer in answers)
    assert inbox.asked == []


async def test_with_the_token_calls_are_carried_out_and_probes_need_none(
    make_app: Callable[..., FastAPI], inbox: Inbox
) -> None:
    async with client(make_app(door=Door(bootstrap="hush"))) as http:
        assert (await http.post(CANCEL, headers={"Authorization": "Bearer hush"})).status_code == 200
        assert (await http.get("/healthz")).status_code == 200
    assert len(inbox.asked) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://farm:8601"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_page_of_another_site_can_change_nothing(
    make_app: Callable[..., FastAPI], inbox: Inbox, headers: dict[str, str]
) -> None:
    async with client(make_app()) as http:
        answer = await http.post(CANCEL, headers=headers)

    assert (answer.status_code, answer.json()["type"]) == (403, "urn:farmhand:problem:cross-site")
    assert inbox.asked == []


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://farm"}, {"Sec-Fetch-Site": "same-origin"}])
async def test_our_own_pages_and_programs_can(make_app: Callable[..., FastAPI], headers: dict[str, str]) -> None:
    async with client(make_app()) as http:
        assert (await http.post(CANCEL, headers=headers)).status_code == 200


async def test_without_a_token_public_names_are_no_hosts(make_app: Callable[..., FastAPI]) -> None:
    async with client(make_app(), "http://attacker.example") as http:
        assert (await http.get("/healthz")).status_code == 421
    async with client(make_app(door=Door(bootstrap="hush")), "http://farm.studio.example") as http:
        assert (await http.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("127.0.0.1:8600", True),
        ("[::1]:8600", True),
        ("10.1.2.3", True),
        ("localhost:8600", True),
        ("coordinator", True),
        ("farm.lan:8600", True),
        ("farm.LOCAL.", True),
        ("", True),
        ("attacker.example", False),
        ("127.0.0.1.attacker.example", False),
        ("evil-lan.com", False),
        ("lan.com", False),
    ],
)
def test_private_hosts_are_told_from_public_names(host: str, private: bool) -> None:  # noqa: FBT001
    assert is_private_host(host) is private
