"""Who may say what: the broker vouches for the sender, and nobody speaks for another.

In shared mode all agents use one broker user and trust one another; in per-worker mode worker X is broker user w-X.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import aio_pika
import pytest
from aio_pika.exceptions import ChannelPreconditionFailed

from coordinator.local.services import Services
from schemas import topology
from schemas.envelope import FromSubmitter, JobSubmit
from schemas.job import JobSpec
from schemas.task import Outcome, TaskLog, Verdict
from schemas.worker import WorkerHeartbeat
from tests.support.farm import Farm, a_task, running
from tests.support.services import management_of, name_of
from tests.support.wire import WireWorker, an_envelope

PASSWORD = "secret"


def rights(worker: str) -> dict[str, str]:
    """What a worker's broker user needs, and nothing else, as docs/operations.md says."""
    own = rf"^farmhand\.worker\.{worker}$"
    return {"configure": own, "write": r"^farmhand\.events$", "read": own}


USERS = {
    "w-node-1": rights("node-1"),
    # A worker that may use the queue of another, so that only the coordinator stands in its way.
    "w-node-2": rights("node-[12]"),
    "studio": {"configure": "^$", "write": r"^farmhand\.events$", "read": "^$"},
}


def as_user(amqp_url: str, user: str) -> str:
    """The same virtual host, as another user."""
    parts = urlsplit(amqp_url)
    return urlunsplit(parts._replace(netloc=f"{quote(user)}:{PASSWORD}@{parts.hostname}:{parts.port}"))


@pytest.fixture
async def users(rabbitmq: Services, amqp_url: str) -> AsyncIterator[Callable[[str], str]]:
    """Broker users for two workers and a submitter, gone afterwards: name -> AMQP URL."""
    if rabbitmq.management_url is None:
        pytest.fail("these tests need the broker's management API: let the tests start their own broker")
    async with management_of(rabbitmq.management_url) as management:
        for user, allowed in USERS.items():
            (await management.put(f"/users/{user}", json={"password": PASSWORD, "tags": ""})).raise_for_status()
            made = await management.put(f"/permissions/{name_of(amqp_url)}/{user}", json=allowed)
            made.raise_for_status()
        yield lambda user: as_user(amqp_url, user)
        for user in USERS:
            (await management.delete(f"/users/{user}")).raise_for_status()


@pytest.fixture
async def strict_farm(database_url: str, amqp_url: str) -> AsyncIterator[Farm]:
    """A farm in per-worker mode."""
    async with running(database_url, amqp_url, identity="per-worker") as farm:
        yield farm


async def the_parked(farm: Farm, count: int = 1) -> list[tuple[str, str, str, str]]:
    """Queue, reason, field and detail of what is parked, as soon as there are *count*."""
    await farm.until("SELECT count(*) >= $1 FROM parked", count)
    return [
        tuple(row) for row in await farm.rows("SELECT queue, reason, field, detail FROM parked ORDER BY queue, id")
    ]  # fmt: skip


# --- shared mode -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "queue"),
    [
        (topology.event_key("node-1"), topology.EVENTS_QUEUE),
        (topology.heartbeat_key("node-1"), topology.HEARTBEATS_QUEUE),
        (topology.log_key("node-1"), topology.LOGS_QUEUE),
    ],
)
async def test_a_message_without_a_user_is_parked_by_whichever_queue_it_comes(farm: Farm, key: str, queue: str) -> None:
    shared = urlsplit(farm.amqp_url).username
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.say_bytes(an_envelope(worker="node-1"), key=key, user_id=None)

        detail = f"it came without a user_id, not from {shared!r}"
        assert await the_parked(farm) == [(queue, "forbidden", "user_id", detail)]


async def test_another_user_of_the_broker_is_no_worker_in_shared_mode(farm: Farm, users: Callable[[str], str]) -> None:
    shared = urlsplit(farm.amqp_url).username
    async with WireWorker(users("w-node-1"), "node-1") as worker:
        await worker.say_online_without_waiting()

        detail = f"it came from broker user 'w-node-1', not from {shared!r}"
        assert await the_parked(farm) == [(topology.EVENTS_QUEUE, "forbidden", "user_id", detail)]
    assert await farm.rows("SELECT * FROM workers") == []


async def test_an_envelope_must_name_the_worker_of_its_routing_key(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await worker.say(WorkerHeartbeat(), key=topology.heartbeat_key("node-2"))
        await worker.say_online_without_waiting()
        await worker.say(WorkerHeartbeat(), key=topology.event_key("node-2"))

        detail = "is 'node-1', but it was sent under 'node-2'"
        assert await the_parked(farm, 2) == [
            (topology.EVENTS_QUEUE, "forbidden", "worker", detail),
            (topology.HEARTBEATS_QUEUE, "forbidden", "worker", detail),
        ]


# --- per-worker mode ---------------------------------------------------------------------------------------


async def test_workers_work_under_their_own_users(strict_farm: Farm, users: Callable[[str], str]) -> None:
    async with WireWorker(users("w-node-1"), "node-1") as worker:
        await worker.online()
        await strict_farm.submit({})
        attempt = await worker.assigned()
        await worker.start(attempt)
        await worker.beat()
        await worker.finish(attempt)
        assert await worker.verdict(attempt) is Verdict.ACCEPTED
    assert await strict_farm.rows("SELECT * FROM parked") == []


async def test_an_agent_works_under_a_user_that_may_do_nothing_but_its_work(
    strict_farm: Farm, users: Callable[[str], str], tmp_path: Path
) -> None:
    environment = {
        "PATH": os.defpath,
        "HOME": str(tmp_path),
        "FARMHAND_AGENT_AMQP_URL": users("w-node-1"),
        "FARMHAND_AGENT_WORKER": "node-1",
        "FARMHAND_AGENT_DATA_DIR": str(tmp_path / "agent"),
    }
    program = Path(sys.executable).with_name("farmhand-agent")
    with (tmp_path / "agent.log").open("wb") as log:
        agent = await asyncio.create_subprocess_exec(program, env=environment, stdout=log, stderr=log)
    try:
        await strict_farm.submit({})
        await strict_farm.until("SELECT state = 'completed' FROM jobs")
    finally:
        agent.terminate()
        assert await agent.wait() == 0, (tmp_path / "agent.log").read_text()
    assert await strict_farm.rows("SELECT * FROM parked") == []


async def test_a_worker_that_speaks_for_another_is_parked_and_changes_nothing(
    strict_farm: Farm, users: Callable[[str], str]
) -> None:
    async with WireWorker(users("w-node-1"), "node-1") as honest, WireWorker(users("w-node-2"), "node-2") as thief:
        await honest.online()
        await strict_farm.submit({})
        attempt = await honest.assigned()
        before = await strict_farm.rows("SELECT * FROM history")

        thief.name, thief.instance, thief.epoch = honest.name, honest.instance, honest.epoch
        await thief.finish(attempt, Outcome.FAILED)
        await thief.beat()
        await thief.say(
            TaskLog(task=attempt.task, attempt=1, chunk=0, day=attempt.day, text="lies"), key=topology.log_key("node-1")
        )

        detail = "it came from broker user 'w-node-2', not from 'w-node-1'"
        assert await the_parked(strict_farm, 3) == [
            (queue, "forbidden", "user_id", detail)
            for queue in (topology.EVENTS_QUEUE, topology.HEARTBEATS_QUEUE, topology.LOGS_QUEUE)
        ]
        assert await strict_farm.rows("SELECT * FROM history") == before
        assert await strict_farm.rows("SELECT * FROM logs") == []
        await honest.finish(attempt)
        assert await honest.verdict(attempt) is Verdict.ACCEPTED


async def test_a_message_without_a_user_is_parked_in_per_worker_mode(
    strict_farm: Farm, users: Callable[[str], str]
) -> None:
    async with WireWorker(users("w-node-1"), "node-1") as worker:
        await worker.say_bytes(an_envelope(worker="node-1"), key=topology.event_key("node-1"), user_id=None)
        detail = "it came without a user_id, not from 'w-node-1'"
        assert await the_parked(strict_farm) == [(topology.EVENTS_QUEUE, "forbidden", "user_id", detail)]


async def test_the_broker_itself_refuses_a_user_id_that_is_not_the_senders(
    strict_farm: Farm, users: Callable[[str], str]
) -> None:
    async with WireWorker(users("w-node-2"), "node-1") as thief:
        with pytest.raises(ChannelPreconditionFailed, match="user_id property set to 'w-node-1'"):
            await thief.say_bytes(an_envelope(worker="node-1"), key=topology.event_key("node-1"), user_id="w-node-1")
    assert await strict_farm.rows("SELECT * FROM parked") == []


async def test_a_submitter_submits_under_its_own_user_and_no_other(
    strict_farm: Farm, users: Callable[[str], str]
) -> None:
    async def submit(user: str, submitter: str) -> None:
        job = JobSpec.model_validate({"name": "job", "tasks": [a_task()]})
        said = FromSubmitter(submitter=submitter, sent_at="2026-01-01T00:00:00Z", events=[JobSubmit(job=job)])
        async with await aio_pika.connect(users(user)) as connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange(topology.EVENTS_EXCHANGE, ensure=False)
            message = aio_pika.Message(said.model_dump_json().encode(), user_id=user)
            await exchange.publish(message, topology.job_key(submitter))

    await submit("studio", "studio")
    await submit("w-node-1", "studio")

    detail = "it came from broker user 'w-node-1', not from 'studio'"
    assert await the_parked(strict_farm) == [(topology.EVENTS_QUEUE, "forbidden", "user_id", detail)]
    assert await strict_farm.until("SELECT submitter FROM jobs") == "studio"
    assert len(await strict_farm.rows("SELECT * FROM jobs")) == 1
