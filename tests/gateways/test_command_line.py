"""Gateways from the command line: what opens them, who is behind them, and what is told of a wrong name."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest

from coordinator.cli.program import run
from coordinator.client import ExitCode
from coordinator.config import Settings
from coordinator.gateways.openwork.wire import is_typeid
from coordinator.starting import StartError, gateways_of
from tests.gateways.conftest import Gates

pytestmark = pytest.mark.asyncio(loop_scope="module")

Farmhand = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def farmhand(shared_gates: Gates, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Farmhand:
    """Runs a command."""
    monkeypatch.setenv("FARMHAND_URL", shared_gates.url)
    monkeypatch.setenv("COLUMNS", "300")

    async def call(*words: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(run, list(words))
        written = capsys.readouterr()
        return code, written.out, written.err

    return call


async def test_a_credential_is_made_used_listed_and_revoked(farmhand: Farmhand, shared_http: httpx.AsyncClient) -> None:
    code, out, _ = await farmhand("access", "create", "stencila", "--name", "render-07")
    assert code == 0
    answer = await shared_http.post("/api/workers/online/", headers={"Authorization": f"Token {out.split()[-1]}"})
    assert answer.status_code == 200
    _, out, _ = await farmhand("access", "create", "openwork", "--name", "builder", "--json")
    made = json.loads(out[out.index("{") :])
    assert (made["gateway"], made["name"], is_typeid(made["workerId"])) == ("openwork", "builder", True)
    assert made["token"].startswith("fhg_")
    _, out, _ = await farmhand("access", "create", "flamenco_v3", "--name", "closed", "--json")
    there = json.loads(out[out.index("{") :])
    assert there.keys() == {"gateway", "name", "expires_at", "username", "password"}
    answer = await shared_http.get("/api/v3/worker/state", auth=(there["username"], there["password"]))
    assert answer.status_code == 204
    code, _, err = await farmhand("access", "create", "flamenco_v1", "--name", "x")
    assert (code != 0, "Flamenco 1 protocol knows no credentials" in err) == (True, True)
    _, out, _ = await farmhand("access")
    assert "gateway stencila" in out
    assert "gateway openwork" in out
    _, out, _ = await farmhand("workers")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "stencila" in next(line for name, line in lines.items() if name.startswith("render-07-"))
    _, out, _ = await farmhand("workers", "show", made["workerId"].replace("_", "-"))
    assert f"openwork, as {made['workerId']}" in out
    assert (await farmhand("access", "revoke", "render-07"))[0] == 0


async def test_what_makes_no_sense_is_told_in_one_line(farmhand: Farmhand) -> None:
    for words in (("access", "create", "ana"), ("access", "create", "ana", "--role", "admin", "--name", "x")):
        code, _, err = await farmhand(*words)
        assert (code, "GATEWAY --name NAME" in err) == (ExitCode.USAGE, True)
    code, _, err = await farmhand("access", "create", "nobody", "--name", "x")
    assert (code != 0, "there is no gateway 'nobody'" in err) == (True, True)
    code, _, err = await farmhand("coordinator", "--gateways", "what ever")
    assert (code, "FARMHAND_GATEWAYS" in err) == (ExitCode.USAGE, True)
    with pytest.raises(StartError, match="FARMHAND_GATEWAYS: there is no gateway 'nobody'; there are all, "):
        gateways_of(Settings(gateways="nobody"))
