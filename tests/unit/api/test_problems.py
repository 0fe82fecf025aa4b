"""Whatever is wrong with a call is told as a problem document, in one line."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import jsonschema
import pytest
from fastapi import FastAPI

from coordinator.api.bodies import SMALL_BYTES, SUBMISSION_BYTES
from tests.unit.api.conftest import Inbox

SPEC: dict[str, Any] = {"name": "job", "tasks": [{"name": "t", "kind": "exec", "commands": [{"name": "exec"}]}]}
JSON = {"Content-Type": "application/json"}


def problem(answer: httpx.Response) -> tuple[int, str, str | None]:
    """The status, detail and field of a problem, which it must be."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) <= {"type", "title", "status", "detail", "field"}
    assert body["status"] == answer.status_code
    assert body["type"].startswith("urn:farmhand:problem:")
    assert "\n" not in body["detail"]
    return answer.status_code, body["detail"], body.get("field")


async def test_nothing_is_at_an_unknown_path(http: httpx.AsyncClient) -> None:
    assert problem(await http.get("/api/v1/nothing")) == (404, "there is nothing at /api/v1/nothing", None)


async def test_a_wrong_method_names_the_right_one(http: httpx.AsyncClient) -> None:
    answer = await http.delete("/api/v1/tasks/1")

    assert problem(answer) == (405, "DELETE is not possible at /api/v1/tasks/1; GET is", None)
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/v1/jobs/none", "job"),
        ("/api/v1/jobs/0", "job"),
        ("/api/v1/jobs/9223372036854775808", "job"),
        ("/api/v1/jobs?state=lazy", "state"),
        ("/api/v1/jobs?limit=1001", "limit"),
        ("/api/v1/jobs?before=-1", "before"),
        ("/api/v1/jobs?submitter=%00", "submitter"),
        ("/api/v1/workers/Not%20A%20Name", "worker"),
        ("/api/v1/workers?after=%00", "after"),
        ("/api/v1/tasks/1/log?after=-2", "after"),
        ("/api/v1/tasks/1/attempts/0/outputs/a", "attempt"),
    ],
)
async def test_a_parameter_out_of_bounds_is_named(http: httpx.AsyncClient, path: str, field: str) -> None:
    status, detail, named = problem(await http.get(path))

    assert (status, named) == (422, field)
    assert detail.startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"priority": -1}, "priority", "greater than or equal to 0"),
        ({"prioritty": 1}, "prioritty", "not permitted"),
        ({"tasks": []}, "tasks", "at least 1 item"),
        ({"name": "a\x00b"}, "name", "NUL"),
        ({"tasks": [SPEC["tasks"][0] | {"after": ["t"]}]}, None, "cycle: t -> t"),
        ({"tasks": [SPEC["tasks"][0] | {"kind": "a b"}]}, "tasks.0.kind", "match pattern"),
    ],
)
async def test_a_job_that_makes_no_sense_is_refused_with_its_field(
    http: httpx.AsyncClient, inbox: Inbox, change: dict[str, Any], field: str | None, said: str
) -> None:
    status, detail, named = problem(await http.post("/api/v1/jobs", json=SPEC | change))

    assert (status, named) == (422, field)
    assert said in detail
    assert inbox.asked == []


@pytest.mark.parametrize(
    "value", [r'"\ud800"', "1e999", "NaN", "123456789012345678901234567890", r'"\u0000"', '{"\\u0000": 1}']
)
async def test_what_no_database_can_hold_is_refused(http: httpx.AsyncClient, inbox: Inbox, value: str) -> None:
    task = '{"name": "t", "kind": "exec", "commands": [{"name": "exec", "parameters": {"x": %s}}]}'
    body = '{"name": "job", "tasks": [' + task % value + "]}"

    status, _, _ = problem(await http.post("/api/v1/jobs", content=body, headers=JSON))

    assert status == 422
    assert inbox.asked == []


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[]", b"", b"null", b"[" * 100_000])
async def test_a_body_that_is_no_object_is_refused(http: httpx.AsyncClient, body: bytes) -> None:
    status, _, _ = problem(await http.post("/api/v1/jobs", content=body, headers=JSON))

    assert status == 422


async def test_a_body_beyond_its_limit_is_refused_announced_or_not(http: httpx.AsyncClient, inbox: Inbox) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(SMALL_BYTES // 1024 + 1):
            yield b" " * 1024

    announced = await http.post("/api/v1/jobs/1/cancel", content=b" " * (SMALL_BYTES + 1), headers=JSON)
    streamed = await http.post("/api/v1/jobs/1/cancel", content=pieces(), headers=JSON)
    job = await http.post("/api/v1/jobs", content=b"", headers=JSON | {"Content-Length": str(SUBMISSION_BYTES + 1)})

    assert [problem(answer)[0] for answer in (announced, streamed, job)] == [413, 413, 413]
    assert inbox.asked == []


async def test_a_body_must_say_that_it_is_json(http: httpx.AsyncClient) -> None:
    body = json.dumps(SPEC).encode()

    assert problem(await http.post("/api/v1/jobs", content=body))[0] == 415
    assert problem(await http.post("/api/v1/jobs", content=body, headers={"Content-Type": "text/plain"}))[0] == 415
    with_charset = {"Content-Type": "application/json; charset=utf-8"}
    assert (await http.post("/api/v1/jobs", content=body, headers=with_charset)).status_code == 201


async def test_a_large_job_is_taken_in_another_thread_and_arrives_whole(http: httpx.AsyncClient, inbox: Inbox) -> None:
    tasks = [SPEC["tasks"][0] | {"name": f"task {number}"} for number in range(2000)]

    answer = await http.post("/api/v1/jobs", json=SPEC | {"tasks": tasks})

    assert answer.status_code == 201
    assert [task.name for task in inbox.asked[0].spec.tasks] == [task["name"] for task in tasks]


async def test_a_change_without_a_body_takes_the_defaults(http: httpx.AsyncClient, inbox: Inbox) -> None:
    assert (await http.post("/api/v1/jobs/1/cancel")).status_code == 200
    assert inbox.asked[0].reason is None


async def test_the_document_describes_every_route_and_its_bodies(make_app: Callable[..., FastAPI]) -> None:
    document = make_app().openapi()

    references = {
        text.removeprefix("#/components/schemas/")
        for text in json.dumps(document).split('"')
        if text.startswith("#/components/schemas/")
    }
    assert references <= set(document["components"]["schemas"])
    body = document["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/JobSpec"}
    schema = body | {"components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(SPEC)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(SPEC | {"prioritty": 1})
