"""`farmhand doctor` beside a real coordinator: each fault is provoked for real, found, and told with what to do."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import asyncpg
import httpx
import pytest

from coordinator.cli.program import run
from coordinator.doctor import Doctor, Places
from coordinator.local.ports import free_port
from coordinator.storage import examine as database
from coordinator.transport import examine as broker
from coordinator.transport import management
from schemas import topology
from schemas.views import CheckState, CheckView
from tests.support.farm import Farm
from tests.support.services import name_of
from tests.support.wire import WireWorker


@dataclass(frozen=True)
class Answer:
    """How the command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def checks(self) -> dict[tuple[str, str], dict[str, Any]]:
        # The coordinator of the test logs into the same stream.
        lines = self.out.splitlines()
        answer = json.loads("\n".join(lines[lines.index("{") : lines.index("}") + 1]))
        return {(check["part"], check["name"]): check for check in answer["checks"]}

    def wrong(self, *, state: str = "wrong") -> set[tuple[str, str]]:
        return {name for name, check in self.checks.items() if check["state"] == state}


Command = Callable[..., Awaitable[Answer]]


@pytest.fixture
def farmhand(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `farmhand doctor` with these settings."""

    async def call(*words: str, **settings: str) -> Answer:
        for name, value in settings.items():
            monkeypatch.setenv(f"FARMHAND_{name.upper()}", value)
        code = await asyncio.to_thread(run, ["doctor", *words])
        written = capsys.readouterr()
        assert "Traceback" not in written.out + written.err
        return Answer(code, written.out, written.err)

    return call


def url_of(farm: Farm) -> str:
    return f"http://127.0.0.1:{farm.coordinator.settings.http_port}"


async def ready(farm: Farm) -> None:
    """Wait until the coordinator takes what the broker has for it."""
    async with httpx.AsyncClient(timeout=60) as http, asyncio.timeout(60):
        while (await http.get(f"{url_of(farm)}/readyz")).status_code != httpx.codes.OK:
            pass


def named(checks: list[CheckView], name: str) -> CheckView:
    """The check of this name, or of the only one that begins with it."""
    return next(check for check in checks if check.name.startswith(name))


def elsewhere(url: str, **parts: str) -> str:
    """*url* with another password, port or path."""
    split = urlsplit(url)
    host = f"{split.username}:{parts.get('password', split.password)}@{split.hostname}:{parts.get('port', split.port)}"
    return urlunsplit(split._replace(netloc=host, path=parts.get("path", split.path)))


# --- a farm that is well -----------------------------------------------------------------------------------


async def test_a_farm_that_is_well_has_nothing_wrong(farm: Farm, farmhand: Command) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({"name": "a", "array": {"count": 3}})
        await farm.until("SELECT last_run_at > '-infinity' FROM duties WHERE name = 'sweep'")
        await ready(farm)

        seen = await farmhand("--json", url=url_of(farm))
        said = await farmhand()

    assert seen.code == 0
    assert seen.wrong() == set()
    assert seen.checks["broker", "queues of workers"]["said"] == "1 are consumed"
    assert seen.checks["broker", "binding hb.#"]["said"] == "reaches farmhand.heartbeats"
    assert seen.checks["farm", "coordinators"]["said"] == "1 at work"
    hold = seen.checks["invariants", "held"]["said"]
    assert hold.split()[0] == hold.split()[2]
    assert int(hold.split()[0]) > 25
    assert said.code == 0
    assert "0 wrong" in said.out
    assert await farm.rows("SELECT FROM parked") == [], "its own messages are ignored by everybody"


# --- the broker --------------------------------------------------------------------------------------------


async def with_channel(url: str, do: Callable[[aio_pika.abc.AbstractChannel], Awaitable[object]]) -> None:
    async with await aio_pika.connect(url) as connection:
        await do(await connection.channel())


async def test_a_missing_binding_is_named(farm: Farm) -> None:
    async def unbind(channel: aio_pika.abc.AbstractChannel) -> None:
        queue = await channel.get_queue(topology.EVENTS_QUEUE)
        await queue.unbind(topology.EVENTS_EXCHANGE, "job.#")

    await with_channel(farm.amqp_url, unbind)
    checks = await broker.examine(farm.amqp_url, coordinators=1)

    assert named(checks, "binding job.#").state is CheckState.WRONG
    assert "nothing binds it to farmhand.events" in named(checks, "binding job.#").said
    assert named(checks, "binding ev.#").state is CheckState.OK


async def test_a_deleted_queue_is_named(amqp_url: str) -> None:
    before = await broker.examine(amqp_url)
    assert named(before, "exchange").said == "is not there"
    assert named(before, "queue farmhand.events").said == "is not there"
    assert "start a coordinator" in named(before, "queue farmhand.events").remedy

    async def declare(channel: aio_pika.abc.AbstractChannel) -> None:
        await channel.declare_exchange(topology.EVENTS_EXCHANGE, "topic", durable=True)
        await channel.declare_queue(topology.LOGS_QUEUE, durable=True, arguments={"x-queue-type": "classic"})

    await with_channel(amqp_url, declare)
    after = await broker.examine(amqp_url)

    assert named(after, "exchange").state is CheckState.OK
    assert "exists with another x-max-length-bytes" in named(after, "queue farmhand.logs").remedy
    assert {check.state for check in after if check.name.startswith("queue farmhand.")} == {CheckState.WRONG}


async def test_a_worker_whose_queue_is_gone_is_named(amqp_url: str) -> None:
    checks = await broker.examine(amqp_url, agents=["node-1", "node-2"])

    assert named(checks, "queues of workers").said == "missing: node-1, node-2"


async def test_a_broker_that_has_other_consumers_than_coordinators_is_seen(farm: Farm) -> None:
    checks = await broker.examine(farm.amqp_url, coordinators=2)

    assert named(checks, "consumers").state is CheckState.WARNING


async def test_where_the_brokers_own_events_are_is_said(amqp_url: str, rabbitmq: Any) -> None:
    here = named(await broker.examine(amqp_url), "plugin")
    there = named(await broker.examine(rabbitmq.amqp_url), "plugin")

    assert (here.state, there.state) == (CheckState.WARNING, CheckState.OK)
    assert "rabbitmq-plugins enable rabbitmq_event_exchange" in here.remedy


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password": "wrong"}, "refuses user"),
        ({"path": "/nowhere"}, "refuses virtual host"),
        ({"port": str(free_port())}, "no broker answers"),
    ],
)
async def test_a_broker_that_cannot_be_asked_is_told_from_one_that_refuses(
    amqp_url: str, change: dict[str, str], said: str
) -> None:
    (check,) = await broker.examine(elsewhere(amqp_url, **change))

    assert check.unreachable
    assert said in check.said
    assert "FARMHAND_AMQP_URL" in check.remedy


async def look(url: str, farm: Farm) -> list[CheckView]:
    return await management.examine(url, farm.amqp_url)


async def test_the_management_interface_tells_what_amqp_does_not(
    farm: Farm, monkeypatch: pytest.MonkeyPatch, rabbitmq: Any
) -> None:
    url = rabbitmq.management_url or os.environ["FARMHAND_TEST_MANAGEMENT_URL"]
    async with asyncio.timeout(60):  # a broker that has just started knows its handles after some seconds
        well = await look(url, farm)
        while not any(check.name.startswith("file handles") for check in well):
            await farm.rows("SELECT pg_sleep(0.2)")
            well = await look(url, farm)

    async def unbind(channel: aio_pika.abc.AbstractChannel) -> None:
        queue = await channel.get_queue(topology.LOGS_QUEUE)
        await queue.unbind(topology.EVENTS_EXCHANGE, "log.#")

    await with_channel(farm.amqp_url, unbind)
    monkeypatch.setattr(management, "FEW_FILES", 10**9)
    ill = await management.examine(url, farm.amqp_url)
    refused = await management.examine(elsewhere(url, password="wrong"), farm.amqp_url)
    nowhere = await management.examine(f"http://127.0.0.1:{free_port()}", farm.amqp_url)

    assert [check.state for check in well] == [CheckState.OK] * len(well)
    assert named(well, "file handles").said.endswith(" in use")
    assert named(ill, "bindings").said == "missing: log.# to farmhand.logs"
    assert named(ill, "file handles").state is CheckState.WARNING
    assert refused[0].said == "it refuses the user"
    assert "it gave no answer" in nowhere[0].said
    assert (await management.examine(None, farm.amqp_url))[0].state is CheckState.UNKNOWN


# --- the database ------------------------------------------------------------------------------------------


async def test_a_broken_row_is_found_by_the_same_checker_as_in_tests(farm: Farm, farmhand: Command) -> None:
    submitted = await farm.submit({"name": "a"})
    await ready(farm)
    await farm.rows("UPDATE groups SET ready = ready + 7")
    try:
        seen = await farmhand("--json", url=url_of(farm))
        said = await farmhand()
    finally:
        await farm.rows("UPDATE groups SET ready = ready - 7")

    assert seen.code == said.code == 1
    assert seen.wrong() == {("invariants", "groups_count_ready_tasks")}
    assert seen.checks["invariants", "groups_count_ready_tasks"]["rows"][0]["ready"] == 8
    assert "groups count ready tasks" in said.out
    assert "ready=8" in said.out
    assert submitted.job


async def test_an_empty_database_and_one_of_another_release_are_told_what_to_do(
    empty_database_url: str, database_url: str
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE alembic_version SET version_num = '0009'")
    behind = await database.examine(database_url)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    ahead = await database.examine(database_url)
    await connection.close()
    empty = await database.examine(empty_database_url)

    assert named(empty.checks, "schema").remedy == named(behind.checks, "schema").remedy == "farmhand migrate"
    assert named(behind.checks, "schema").said.startswith("revision 0009, this release needs")
    assert "update farmhand" in named(ahead.checks, "schema").remedy
    assert named(behind.checks, "rows").state is CheckState.UNKNOWN


async def test_a_read_only_database_without_rights_is_seen(database_url: str) -> None:
    name = urlsplit(database_url).path[1:]
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE ROLE farmhand_reader LOGIN PASSWORD 'reader'")
    try:
        await connection.execute(
            f'ALTER ROLE farmhand_reader IN DATABASE "{name}" SET default_transaction_read_only = on'
        )
        await connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO farmhand_reader")
        parts = urlsplit(database_url)
        place = urlunsplit(parts._replace(netloc=f"farmhand_reader:reader@{parts.hostname}:{parts.port}"))
        found = await database.examine(place)
    finally:
        await connection.execute("DROP OWNED BY farmhand_reader")
        await connection.execute("DROP ROLE farmhand_reader")
        await connection.close()

    assert named(found.checks, "takes writes").said == "it is read-only"
    assert named(found.checks, "rights").state is CheckState.WRONG
    assert "all rights on archives" in named(found.checks, "rights").said
    assert "CREATE on the schema" in named(found.checks, "rights").said


async def test_duties_that_nobody_does_are_wrong_when_there_was_time_for_them(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("INSERT INTO coordinators (id, software) VALUES ('c1', 'farmhand 1')")
    young = await database.examine(database_url)
    await connection.execute("UPDATE coordinators SET started_at = farm_now() - interval '1 hour'")
    old = await database.examine(database_url)
    await connection.close()

    assert named(young.checks, "sweep").state is CheckState.OK
    assert named(old.checks, "sweep").state is CheckState.WRONG


async def test_a_coordinator_that_hangs_and_parked_messages_are_seen(farm: Farm) -> None:
    await farm.rows(
        "INSERT INTO coordinators (id, software, seen_at) VALUES ('old', 'farmhand 0', farm_now() - interval '1 min')"
    )
    await farm.rows("INSERT INTO parked (queue, routing_key, body, reason) VALUES ('q', 'ev.x', '', 'forbidden')")
    found = await database.examine(farm.database_url)
    await farm.rows("DELETE FROM coordinators WHERE id = 'old'")

    assert named(found.checks, "silent coordinators").said == "old"
    assert named(found.checks, "silent coordinators").state is CheckState.WARNING
    assert named(found.checks, "parked messages").said == "1: forbidden"
    assert found.coordinators == 1


WAITS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'"
    " AND query_start < clock_timestamp() - interval '0.2 s'"
)


async def test_who_waits_for_a_lock_and_who_holds_it_is_seen(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LONG_WAIT_S", 0.2)
    holder, waiter = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    await holder.execute("BEGIN")
    await holder.execute("LOCK TABLE log_sizes")
    waiting = asyncio.create_task(waiter.fetch("SELECT FROM log_sizes"))
    other = await asyncpg.connect(database_url)
    async with asyncio.timeout(60):
        while not await other.fetchval(WAITS, name_of(database_url)):
            await other.fetchval("SELECT pg_sleep(0.05)")
    found = await database.examine(database_url)
    await holder.execute("ROLLBACK")
    await waiting
    for one in (holder, waiter, other):
        await one.close()

    locks = named(found.checks, "locks")
    assert locks.state is CheckState.WARNING
    assert len(locks.rows[0]["blocked_by"]) == 1


@pytest.mark.parametrize(
    ("change", "said", "remedy"),
    [
        ({"password": "wrong"}, "refuses user", "check name and password"),
        ({"path": "/nowhere"}, "has no database 'nowhere'", "createdb"),
        ({"port": str(free_port())}, "no Postgres answers", "start it"),
    ],
)
async def test_a_database_that_cannot_be_asked_is_told_from_one_that_refuses(
    database_url: str, change: dict[str, str], said: str, remedy: str
) -> None:
    (check,) = (await database.examine(elsewhere(database_url, **change))).checks

    assert check.unreachable
    assert said in check.said
    assert remedy in check.remedy


# --- no coordinator ----------------------------------------------------------------------------------------


async def test_without_a_coordinator_it_looks_by_itself(database_url: str, amqp_url: str, farmhand: Command) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    seen = await farmhand("--json", url=nobody, database_url=database_url, amqp_url=amqp_url)
    said = await farmhand()

    assert seen.code == said.code == 6
    assert {("coordinator", "answers"), ("farm", "coordinators"), ("broker", "queue farmhand.events")} <= seen.wrong()
    assert ("database", "schema") not in seen.wrong()
    assert "start one: farmhand coordinator" in said.out


async def test_with_nothing_there_it_says_so_of_each(farmhand: Command) -> None:
    port = free_port()
    seen = await farmhand(
        "--json",
        url=f"http://127.0.0.1:{port}",
        database_url=f"postgresql://a:b@127.0.0.1:{port}/c",
        amqp_url=f"amqp://a:b@127.0.0.1:{port}/",
    )

    assert seen.code == 6
    assert seen.wrong() == {("coordinator", "answers"), ("database", "answers"), ("broker", "answers")}


async def test_a_wrong_token_is_named_and_the_rest_is_looked_at_from_here(farm: Farm, farmhand: Command) -> None:
    async with httpx.AsyncClient(timeout=60) as http:
        made = await http.post(f"{url_of(farm)}/api/v1/access", json={"name": "ana", "role": "admin"})
    assert made.status_code == 201
    places = {"database_url": farm.database_url, "amqp_url": farm.amqp_url, "url": url_of(farm)}
    await ready(farm)

    refused = await farmhand("--json", **places, api_token="wrong")
    let_in = await farmhand("--json", api_token=made.json()["token"])
    from_here = await farmhand("--json", "--here")

    assert refused.code == 6
    assert "operator" in refused.checks["coordinator", "answers"]["remedy"]
    assert refused.checks["farm", "coordinators"]["said"] == "1 at work"
    assert let_in.code == from_here.code == 0
    assert ("coordinator", "answers") not in from_here.checks


async def test_warnings_fail_only_when_asked_to(farm: Farm, farmhand: Command) -> None:
    await farm.rows("INSERT INTO parked (queue, routing_key, body, reason) VALUES ('q', 'ev.x', '', 'forbidden')")

    await ready(farm)
    usual, strict = await farmhand(url=url_of(farm)), await farmhand("--strict")

    assert (usual.code, strict.code) == (0, 1), usual.out
    assert "farmhand parked" in usual.out


async def test_a_coordinator_says_what_keeps_it_from_its_work(database_url: str, amqp_url: str) -> None:
    doctor = Doctor(
        Places(database_url, amqp_url), by="c1", version="1", health=lambda: ["the broker does not deliver"]
    )
    one, other = await asyncio.gather(doctor.diagnose(), doctor.diagnose())

    assert one is other, "who asks meanwhile gets the same answer"
    assert one.checks[0].said == "the broker does not deliver"
    assert one.checks[0].state is CheckState.WRONG
