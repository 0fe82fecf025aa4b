"""The Python client: what it sends, and how it words what goes wrong."""

import json
from pathlib import Path

import httpx
import pytest

from coordinator.client import AsyncFarmhandClient, ExitCode, FarmhandClient, FarmhandError
from coordinator.client.config import ClientSettings
from coordinator.client.following import Patience


def farm(answer: httpx.Response | Exception, seen: list[httpx.Request] | None = None) -> FarmhandClient:
    """A client that always gets *answer*."""

    def handle(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return FarmhandClient("http://farm:1/base/", token="hush", actor="josé@desk", transport=httpx.MockTransport(handle))


def error_of(answer: httpx.Response | Exception) -> FarmhandError:
    """What the client makes of *answer*."""
    with pytest.raises(FarmhandError) as caught, farm(answer) as client:
        client.job(1)
    return caught.value


def test_a_call_carries_the_token_the_actor_and_only_what_was_given() -> None:
    seen: list[httpx.Request] = []
    with farm(httpx.Response(200, json={"items": []}), seen) as client:
        client.jobs(state="active")
        client.tasks(3, after=7, limit=9)

    assert [str(request.url) for request in seen] == [
        "http://farm:1/base/api/v1/jobs?state=active&limit=100",
        "http://farm:1/base/api/v1/jobs/3/tasks?after=7&limit=9",
    ]
    assert seen[0].headers["authorization"] == "Bearer hush"
    assert (b"X-Farmhand-Actor", "josé@desk".encode()) in seen[0].headers.raw


def test_names_cannot_leave_their_place_in_a_path() -> None:
    seen: list[httpx.Request] = []
    with farm(httpx.Response(200, json={"count": 1}), seen) as client:
        client.label_worker("../jobs/1?x=", ["a"])

    assert seen[0].url.raw_path == b"/base/api/v1/workers/..%2Fjobs%2F1%3Fx%3D/labels"
    assert json.loads(seen[0].content) == {"labels": ["a"]}


@pytest.mark.parametrize(
    ("status", "kind", "exit_code"),
    [
        (400, "bad-request", ExitCode.USAGE),
        (401, "unauthorized", ExitCode.AUTHENTICATION),
        (403, "cross-site", ExitCode.AUTHENTICATION),
        (404, "not-found", ExitCode.NOT_FOUND),
        (409, "conflict", ExitCode.REFUSED),
        (422, "invalid", ExitCode.USAGE),
        (422, "unplaceable", ExitCode.UNPLACEABLE),
        (500, "unexpected", ExitCode.UNREACHABLE),
        (503, "unavailable", ExitCode.UNREACHABLE),
    ],
)
def test_a_problem_becomes_an_error_with_its_exit_code(status: int, kind: str, exit_code: ExitCode) -> None:
    problem = {"type": f"urn:farmhand:problem:{kind}", "title": "t", "status": status, "detail": "why", "field": "f"}

    error = error_of(httpx.Response(status, json=problem))

    assert (str(error), error.status, error.kind, error.field, error.exit_code) == ("why", status, kind, "f", exit_code)


def test_whoever_else_answers_is_told_apart() -> None:
    for answer in (httpx.Response(404, text="<html>"), httpx.Response(200, text="hello"), httpx.Response(200, json={})):
        error = error_of(answer)
        assert str(error).startswith("what answers at http://farm:1 is not a Farmhand coordinator")
        assert error.exit_code is ExitCode.UNREACHABLE


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (httpx.ConnectError("refused"), "no coordinator answers at http://farm:1"),
        (httpx.ReadTimeout("slow"), "the coordinator at http://farm:1 did not answer in time"),
        (httpx.RemoteProtocolError("gone"), "the connection to http://farm:1 broke: gone"),
    ],
)
def test_an_absent_coordinator_is_named_with_its_place(failure: Exception, said: str) -> None:
    error = error_of(failure)

    assert str(error).startswith(said)
    assert error.unreachable


@pytest.mark.parametrize("url", ["farm:8600", "ftp://farm", "", "http://", "http://[", "http:// x"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(FarmhandError, match="is not a URL such as") as caught:
        FarmhandClient(url)
    assert caught.value.exit_code is ExitCode.USAGE


def test_both_clients_have_the_same_methods() -> None:
    assert {name for name in vars(FarmhandClient) if not name.startswith("_")} == {
        name for name in vars(AsyncFarmhandClient) if not name.startswith("_")
    }


def test_patience_ends_with_its_time_and_starts_anew_when_the_farm_is_back() -> None:
    patience = Patience(10)
    away, wrong = FarmhandError("away"), FarmhandError("no", status=404)

    patience.lost(away, 100.0)
    patience.lost(away, 109.0)
    patience.found()
    patience.lost(away, 115.0)
    with pytest.raises(FarmhandError, match="away"):
        patience.lost(away, 126.0)
    with pytest.raises(FarmhandError, match="no"):
        patience.lost(wrong, 115.0)


def test_the_token_comes_from_the_environment_then_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("filed\nmore\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("FARMHAND_API_TOKEN_FILE", str(file))
    assert ClientSettings().token() == "filed"
    monkeypatch.setenv("FARMHAND_API_TOKEN", "given")
    assert ClientSettings().token() == "given"
    monkeypatch.delenv("FARMHAND_API_TOKEN")
    monkeypatch.setenv("FARMHAND_API_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(FarmhandError, match="cannot read the token in .*: No such file"):
        ClientSettings().token()
    monkeypatch.delenv("FARMHAND_API_TOKEN_FILE")
    assert ClientSettings().token() is None
    (tmp_path / "farmhand").mkdir()
    file.rename(tmp_path / "farmhand" / "token")
    assert ClientSettings().token() == "filed"


def test_the_token_of_this_machines_farm_goes_to_that_farm_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coordinator.client.config.default_directory", lambda: tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "admin-token").write_text("local\nhttp://127.0.0.1:8600\n")
    assert ClientSettings().token() == "local"
    assert ClientSettings().token("http://127.0.0.1:8600/") == "local"
    assert ClientSettings().token("http://127.0.0.1:8601") is None
    assert ClientSettings(url="http://farm.example").token() is None
    monkeypatch.setenv("FARMHAND_API_TOKEN", "given")
    assert ClientSettings().token() == "given"
