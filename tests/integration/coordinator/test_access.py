"""Tokens on a real farm: made, used, revoked; on one coordinator and on two."""

import asyncio
import base64
import hashlib
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from coordinator.cli.program import run
from coordinator.client import AsyncFarmhandClient, ExitCode, FarmhandError
from coordinator.storage.first_tokens import keep
from schemas.job import JobSpec
from schemas.roles import Role
from tests.support.farm import Farm, a_task, running
from tests.support.wire import WireWorker

A_JOB = JobSpec.model_validate({"name": "job", "tasks": [a_task()]})


def url_of(farm: Farm) -> str:
    return f"http://127.0.0.1:{farm.coordinator.settings.http_port}"


def caller(farm: Farm, token: str | None = None) -> AsyncFarmhandClient:
    return AsyncFarmhandClient(url_of(farm), token=token, actor="ana@desk")


async def refusal(client: AsyncFarmhandClient) -> ExitCode | None:
    try:
        await client.jobs()
    except FarmhandError as error:
        return error.exit_code
    return None


async def test_an_open_farm_closes_with_its_first_token_which_is_an_admins(database_url: str, amqp_url: str) -> None:
    async with running(database_url, amqp_url) as farm, WireWorker(amqp_url, "node-1") as node, caller(farm) as anybody:
        await node.online()
        assert await refusal(anybody) is None
        with pytest.raises(FarmhandError, match="make an admin's first"):
            await anybody.create_token("ci", "submitter")
        admin = await anybody.create_token("boss", "admin")
        assert await refusal(anybody) is ExitCode.AUTHENTICATION

        async with caller(farm, admin.token) as boss:
            script = await boss.create_token("script", "submitter")
            with pytest.raises(FarmhandError, match="revoke it first"):
                await boss.create_token("script", "viewer")
            with pytest.raises(FarmhandError, match="expired already"):
                await boss.create_token("late", "viewer", expires_at=datetime.now(UTC) - timedelta(days=1))
            with pytest.raises(FarmhandError, match="stands for others"):
                await boss.create_token("bootstrap", "viewer")
            async with caller(farm, script.token) as submitter:
                submitted = await submitter.submit(A_JOB)
                with pytest.raises(FarmhandError, match="role operator; 'script' has the role submitter"):
                    await submitter.request_worker_state("node-1", "drain")
            entry = (await boss.story_of_job(submitted.job)).items[0]
            assert (entry.event, entry.actor) == ("job.submitted", "script (ana@desk)")

        told = await farm.rows(
            "SELECT event, actor, detail->>'token' FROM history WHERE event ^@ 'access.' ORDER BY id"
        )
        assert [tuple(row) for row in told] == [
            ("access.created", "ana@desk", "boss"),
            ("access.created", "boss (ana@desk)", "script"),
        ]
        for row in await farm.rows("SELECT to_jsonb(t)::text FROM access_tokens t"):
            assert admin.token.rpartition("_")[2] not in row[0]
            assert script.token.rpartition("_")[2] not in row[0]


async def test_a_revoked_token_opens_nothing_on_any_coordinator(database_url: str, amqp_url: str) -> None:
    async with (
        running(database_url, amqp_url, api_token="of-my-own", coordinator_id="a") as first,
        running(database_url, amqp_url, coordinator_id="b") as second,
        caller(first, "of-my-own") as boss,
    ):
        made = await boss.create_token("reader", "viewer")
        async with caller(first, made.token) as here, caller(second, made.token) as there:
            assert (await refusal(here), await refusal(there)) == (None, None)
            await boss.revoke_token("reader")
            assert await refusal(here) is ExitCode.AUTHENTICATION
            async with asyncio.timeout(60):
                while await refusal(there) is None:
                    pass
        with pytest.raises(FarmhandError, match="there is no token 'reader'"):
            await boss.revoke_token("reader")

        again = await boss.create_token("reader", "operator")
        async with caller(first, again.token) as here:
            assert await refusal(here) is None
        assert [(token.name, token.usable) for token in (await boss.tokens(revoked=True)).items] == [
            ("reader", False),
            ("reader", True),
        ]
        told = await second.rows("SELECT DISTINCT actor FROM history WHERE event ^@ 'access.'")
        assert [row[0] for row in told] == ["bootstrap (ana@desk)"]


async def test_an_agents_token_sends_outputs_and_does_nothing_else(database_url: str, amqp_url: str) -> None:
    async with (
        running(database_url, amqp_url, api_token="of-my-own", agents_token="of-them-all") as farm,
        WireWorker(amqp_url, "node-1") as worker,
        caller(farm, "of-my-own") as boss,
    ):
        await worker.online()
        agents = await boss.create_token("node-1", "agent")
        reader = await boss.create_token("reader", "operator")
        await boss.submit(A_JOB)
        attempt = await worker.assigned()
        await worker.start(attempt)
        body = b"a picture"
        path = f"/api/v1/tasks/{attempt.task}/attempts/{attempt.attempt}/outputs/a.png"
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        headers = {"Digest": f"sha-256={digest}", "X-Farmhand-Worker": "node-1"}
        async with httpx.AsyncClient(base_url=url_of(farm), headers=headers, timeout=60) as http:

            async def put(token: str | None) -> httpx.Response:
                bearer = {"Authorization": f"Bearer {token}"} if token else {}
                return await http.put(path, content=body, headers=bearer)

            nobody, wrong, enough = await put(None), await put(reader.token), await put(agents.token)
            assert (await put("of-them-all")).status_code == 201
        assert (nobody.status_code, nobody.headers["WWW-Authenticate"]) == (401, 'Bearer realm="farmhand"')
        assert (wrong.status_code, wrong.json()["type"]) == (403, "urn:farmhand:problem:forbidden")
        assert enough.status_code == 201
        for token in (agents.token, "of-them-all"):
            async with caller(farm, token) as agent:
                assert await refusal(agent) is ExitCode.AUTHENTICATION


async def test_migrate_prints_an_admins_token_when_there_is_none_that_can_be_used(
    database_url: str, amqp_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def migrate() -> str:
        assert await asyncio.to_thread(run, ["migrate"]) == 0
        return "".join(line for line in capsys.readouterr().out.splitlines() if line.startswith("fht_"))

    monkeypatch.setenv("FARMHAND_DATABASE_URL", database_url)
    monkeypatch.setenv("FARMHAND_API_TOKEN", "of-my-own")
    assert await migrate() == ""
    monkeypatch.delenv("FARMHAND_API_TOKEN")
    token = await migrate()
    assert await migrate() == ""
    async with running(database_url, amqp_url) as farm, caller(farm, token) as boss:
        await boss.revoke_token("admin")
        second = await migrate()
        assert await refusal(boss) is ExitCode.AUTHENTICATION
        async with caller(farm, second) as other:
            assert [(one.name, one.role) for one in (await other.tokens()).items] == [("admin", Role.ADMIN)]


async def test_a_kept_token_is_kept_while_it_works_and_replaced_when_not(database_url: str) -> None:
    first = await keep(database_url, "local", Role.ADMIN, None, "up")
    assert await keep(database_url, "local", Role.ADMIN, first, "up") == first
    second = await keep(database_url, "local", Role.ADMIN, "lost", "up")
    assert second != first
    assert await keep(database_url, "local", Role.ADMIN, first, "up") not in (first, second)
