"""What all gateways share: workers that ask for their work, credentials, limits, and who owns which path."""

import asyncio
from uuid import UUID, uuid4

import httpx
import pytest

from coordinator.client import AsyncFarmhandClient, FarmhandError
from coordinator.domain import protocol
from coordinator.domain.protocol import Protocol, Work
from coordinator.domain.worker import Asked, Connection
from coordinator.gateways import GATEWAYS
from coordinator.gateways.hosting import chosen
from coordinator.gateways.kit import worker_id
from coordinator.local.ports import free_port
from coordinator.operations.claiming import Claim, Claimed
from coordinator.operations.foreign import Arrive, Depart, Hear, Portrait
from coordinator.operations.requests import CancelTasks, ConflictError
from coordinator.operations.table import Report
from schemas.task import Outcome, TaskFinished, TaskProgress, Verdict
from tests.gateways.conftest import Gates
from tests.support.farm import running
from tests.support.wire import WireWorker

PORTRAIT = Portrait("polls", "render@one", kinds=("echo",), queues=("default",), software="poller 1")


class Poller:
    """A worker that asks for its work."""

    def __init__(self, gates: Gates, name: str = "poller") -> None:
        self.gates = gates
        self.name = name
        self.ask = gates.farm.desk.ask

    async def arrive(self, instance: UUID | None = None) -> None:
        """Say that it is here."""
        await self.ask(Arrive(self.name, PORTRAIT, instance or uuid4()))

    async def claim(self) -> Claimed:
        """Ask for work."""
        return await self.ask(Claim(self.name))


@pytest.fixture
async def poller(gates: Gates, monkeypatch: pytest.MonkeyPatch) -> Poller:
    """One that has arrived; its protocol is this test's own."""
    carries = frozenset({Asked.AWAKE, Asked.ASLEEP, Asked.DRAIN, Asked.OFFLINE})
    monkeypatch.setitem(protocol.PROTOCOLS, "polls", Protocol("polling", Work.PULLED, carries))
    poller = Poller(gates)
    await poller.arrive()
    return poller


async def test_who_asks_gets_a_task_in_the_answer_and_again_until_it_has_ended(poller: Poller) -> None:
    farm = poller.gates.farm
    assert (await poller.claim()).handed == []
    await farm.submit({"name": "frame", "array": {"count": 2}})
    (first,) = (await poller.claim()).handed
    assert (first.name, first.attempt, first.again) == ("frame[0]", 1, False)
    assert [command["name"] for command in first.spec["commands"]] == ["echo"]
    assert await farm.state(first.task) == "running"
    (same,) = (await poller.claim()).handed
    assert (same.task, same.attempt, same.again) == (first.task, 1, True)
    said = TaskProgress(task=first.task, attempt=1, done=1, total=2)
    done = TaskFinished(task=first.task, attempt=1, outcome=Outcome.COMPLETED)
    assert (await poller.ask(Report("poller", (said, done)))).verdicts == (Verdict.ACCEPTED,)
    (second,) = (await poller.claim()).handed
    assert second.name == "frame[1]"
    late = TaskFinished(task=first.task, attempt=2, outcome=Outcome.COMPLETED)
    assert (await poller.ask(Report("poller", (late,)))).verdicts == (Verdict.SUPERSEDED,)


async def test_nothing_is_pushed_to_who_asks_and_our_own_agents_get_theirs_beside_him(poller: Poller) -> None:
    farm = poller.gates.farm
    submitted = await farm.submit({"name": "a"}, {"name": "b"}, {"name": "c"})
    async with WireWorker(farm.amqp_url, "node-1") as node:
        await node.online()
        mine = [(await node.assigned()).task, (await node.assigned()).task]
        (theirs,) = (await poller.claim()).handed
        assert theirs.task not in mine
        assert submitted.tasks == 3


async def test_who_goes_gives_back_and_another_life_has_nothing_of_the_former(poller: Poller) -> None:
    farm = poller.gates.farm
    await farm.submit({"name": "a"})
    (first,) = (await poller.claim()).handed
    await poller.ask(Depart("poller", reason="maintenance"))
    assert await farm.state(first.task) == "ready"
    answer = await poller.claim()
    assert (answer.standing.connection, answer.handed) == (Connection.OFFLINE, [])
    await poller.arrive()
    (second,) = (await poller.claim()).handed
    await poller.arrive()
    (third,) = (await poller.claim()).handed
    assert [one.attempt for one in (first, second, third)] == [1, 2, 3]
    assert not third.again
    rows = await farm.rows("SELECT failures, losses FROM tasks")
    assert [tuple(row) for row in rows] == [(0, 1)]


async def test_a_canceled_task_is_let_go_by_asking_for_other_work(poller: Poller) -> None:
    farm = poller.gates.farm
    await farm.submit({"name": "a"})
    (first,) = (await poller.claim()).handed
    await farm.desk.ask(CancelTasks((first.task,), "tester"))
    await farm.submit({"name": "b"})
    assert (await poller.claim()).handed[0].name == "b"
    assert await farm.rows("SELECT 1 FROM attempts WHERE state = 'stopping'") == []


async def test_the_silent_is_suspect_then_lost_by_its_own_rhythm_and_comes_back_by_asking(poller: Poller) -> None:
    farm = poller.gates.farm
    await farm.submit({"name": "a"})
    await poller.claim()
    rhythm = Portrait("polls", "render@one", heartbeat_s=20.0, lost_after_s=100.0)
    await poller.ask(Hear("poller", rhythm))
    await farm.rows("UPDATE coordinators SET listening_since = farm_now() - interval '1 hour'")
    for silence, connection in (("45 s", "suspect"), ("99 s", "suspect"), ("101 s", "lost")):
        await farm.rows(f"UPDATE worker_liveness SET last_seen_at = farm_now() - interval '{silence}'")
        await farm.until("SELECT connection = $1 FROM workers", connection)
    assert await farm.state(1) == "ready"
    (again,) = (await poller.claim()).handed
    assert (again.attempt, (await poller.gates.worker("poller"))["connection"]) == (2, "online")


async def test_when_a_whole_protocol_falls_silent_only_its_own_workers_are_held(gates: Gates) -> None:
    for number in range(4):
        portrait = Portrait("stencila", f"celery@{number}", heartbeat_s=2.0, lost_after_s=10.0)
        await gates.farm.desk.ask(Arrive(f"hub-{number}", portrait, uuid4()))
    await gates.farm.rows("UPDATE coordinators SET listening_since = farm_now() - interval '1 hour'")
    await gates.farm.rows("UPDATE worker_liveness SET last_seen_at = farm_now() - interval '20 s'")
    await gates.farm.until("SELECT count(*) = 4 FROM workers WHERE connection = 'suspect'")
    frozen = await gates.farm.until("SELECT string_agg(zone, ' ') FROM freezes")
    assert frozen == "default:stencila"


async def test_exclusive_tasks_are_not_for_workers_behind_gateways_and_why_says_so(poller: Poller) -> None:
    farm = poller.gates.farm
    submitted = await farm.submit({"name": "a", "exclusive": True})
    assert (await poller.claim()).handed == []
    async with AsyncFarmhandClient(poller.gates.url) as client:
        why = await client.why_task((await client.tasks(submitted.job)).items[0].id)
    assert any("Farmhand's own agents" in reason.sentence for reason in why.reasons), why


async def test_a_name_belongs_to_one_worker_whatever_it_speaks(poller: Poller) -> None:
    with pytest.raises(ConflictError, match="belongs to a polls worker"):
        await poller.ask(Arrive("poller", Portrait("polls", "render@two"), uuid4()))
    amqp_url = poller.gates.farm.amqp_url
    async with WireWorker(amqp_url, "poller") as node, WireWorker(amqp_url, "node-1") as next_one:
        await node.say_online_without_waiting()
        await next_one.online()
        assert (await poller.gates.worker("poller"))["protocol"] == "polls"


async def test_what_a_protocol_cannot_carry_is_refused_in_words(gates: Gates) -> None:
    await gates.farm.desk.ask(Arrive("hub-1", Portrait("stencila", "celery@one"), uuid4()))
    async with AsyncFarmhandClient(gates.url) as client:
        with pytest.raises(FarmhandError, match="the Stencila Hub protocol cannot ask it to drain"):
            await client.request_worker_state("hub-1", "drain")
        (worker,) = (await client.workers()).items
    assert (worker.protocol, worker.foreign_id) == ("stencila", "celery@one")


async def test_credentials_are_listed_revoked_and_good_for_their_gateway_only(
    gates: Gates, http: httpx.AsyncClient
) -> None:
    token = (await gates.credential("stencila", "overseer"))["token"]
    async with AsyncFarmhandClient(gates.url) as client:
        (listed,) = (await client.tokens()).items
        assert (listed.name, listed.gateway, listed.usable) == ("overseer", "stencila", True)
        stored = await gates.farm.rows("SELECT prefix, digest FROM access_tokens")
        assert token.encode() not in stored[0]["digest"]
        headers = {"Authorization": f"Token {token}"}
        assert (await http.post("/api/workers/online", headers=headers)).status_code == 200
        as_api = await http.get("/api/v1/jobs", headers={"Authorization": f"Bearer {token}"})
        assert as_api.status_code == 200, "the farm is open: a gateway's credential has not closed it"
        with pytest.raises(FarmhandError, match="there is no gateway 'nobody'"):
            await client.create_credential("nobody", "x")
        await client.revoke_token("overseer")
    async with asyncio.timeout(60):
        while (await http.post("/api/workers/online", headers=headers)).status_code != 403:
            pass


async def test_gateways_have_ports_of_their_own_where_these_are_named(database_url: str, amqp_url: str) -> None:
    port = free_port()
    where = f"stencila@127.0.0.1:{port},openwork"
    async with running(database_url, amqp_url, gateways=where) as farm, httpx.AsyncClient(timeout=60) as http:
        main = f"http://127.0.0.1:{farm.coordinator.settings.http_port}"
        assert (await http.post(f"http://127.0.0.1:{port}/api/workers/online")).status_code == 403
        assert (await http.post(f"{main}/api/workers/online")).status_code == 404
        assert (await http.post(f"{main}/v1/workers/x/activity-heartbeat")).status_code == 400
        assert (await http.get(f"http://127.0.0.1:{port}/api/v1/jobs")).status_code == 404
        assert (await http.get(f"{main}/gateways/openwork/openapi.json")).json()["openapi"].startswith("3.")


async def test_bodies_are_limited_and_pages_of_other_sites_refused(gates: Gates, http: httpx.AsyncClient) -> None:
    token = (await gates.credential("stencila", "overseer"))["token"]
    headers = {"Authorization": f"Token {token}"}
    huge = await http.post("/api/workers/online/", content=b"x" * 300_000, headers=headers)
    assert huge.status_code == 413
    foreign = await http.post("/api/workers/online/", headers={**headers, "Origin": "https://attacker.example"})
    assert (foreign.status_code, foreign.json()["errors"]) == (403, [])


def test_no_two_gateways_own_a_path_and_none_is_the_farms() -> None:
    for gateway in GATEWAYS:
        for path in (*gateway.paths, gateway.document, *(["/v2.5/workers.register"] if gateway.shape else [])):
            assert [one.name for one in GATEWAYS if one.owns(path)] == [gateway.name]
        assert not any(gateway.owns(path) for path in ("/api/v1/workers", "/healthz", "/metrics", "/"))


@pytest.mark.parametrize("text", ["nobody", "stencila@", "stencila@x", "stencila,stencila", "stencila@h:99999"])
def test_what_names_no_gateway_is_told_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"gateway|NAME@HOST:PORT"):
        chosen(text, GATEWAYS)


def test_names_of_foreign_workers_are_readable_and_never_collide() -> None:
    names = {worker_id("stencila", name) for name in ("celery@h1", "celery-h1", "CELERY@H1", "@", "é", "x" * 500)}
    assert len(names) == 6
    assert all(len(name) <= 64 and name[0].isalnum() and name[-1].isalnum() for name in names)
    assert worker_id("stencila", "celery@h1").startswith("celery-h1-")
