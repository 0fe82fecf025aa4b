"""Real Celery workers while their connections, the bridge's or the broker itself go away: what they run goes on.

What Celery does there: running tasks go on, and those with late acknowledgement are redelivered as well
(`worker/consumer/consumer.py`, on_connection_error_after_connected). What began before ends unheard, whenever it does:
it tells the dispatcher that it was received with, which is closed (`worker/request.py`, send_event).
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from coordinator.gateways.celery import translate
from coordinator.gateways.celery.bridge import realm_of
from coordinator.local.services import Services
from tests.gateways.celery.calls import a_call
from tests.gateways.celery.workers import celery_worker, how_often, offers
from tests.support import services as support
from tests.support.farm import Farm, running

THEIRS = "py-amqp"
OURS = "farmhand"


def name_of(hostname: str, realm: str = "") -> str:
    """What the worker of this node name is called here."""
    return translate.name_of(translate.foreign_id(realm, hostname))


class Lines:
    """The connections of one virtual host, as its broker's management sees them."""

    def __init__(self, management_url: str, vhost: str) -> None:
        self._management = support.management_of(management_url)
        self._vhost = vhost

    async def of(self, product: str) -> set[str]:
        """The names of those that are of this product; of ours the bridge's."""
        answer = await self._management.get(f"/vhosts/{self._vhost}/connections")
        found = [(one["name"], one.get("client_properties") or {}) for one in answer.raise_for_status().json()]
        return {
            name
            for name, said in found
            if said.get("product") == product and (product != OURS or "celery" in said.get("purpose", ""))
        }

    async def cut(self, product: str, at_least: int) -> None:
        """Close all of a product's, when the management has seen so many, and wait until they are gone."""
        while len(names := await self.of(product)) < at_least:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        for name in names:
            await self._management.delete(f"/connections/{name}", headers={"X-Reason": "a test"})
        while names & await self.of(product):  # noqa: ASYNC110
            await asyncio.sleep(0.2)

    async def close(self) -> None:
        await self._management.aclose()


async def gated(farm: Farm, tmp_path: Path, name: str, *kinds: str, queue: str = "default") -> list[Path]:
    """Submit a task of each kind that waits for a gate; all of them run when this returns, and two more wait."""
    gates = [tmp_path / f"{name}-{number}" for number in range(len(kinds))]
    for gate in gates:
        gate.touch()
    calls = (
        a_call(kind, str(gate), priority=60) | {"name": gate.name} for kind, gate in zip(kinds, gates, strict=True)
    )
    await farm.submit(
        *calls, *(a_call("shop.add", one, 2) | {"name": f"add-{one}"} for one in range(2)),
        name=name, queue=queue,
    )  # fmt: skip
    await farm.until(
        "SELECT count(*) = $2 FROM tasks t JOIN jobs j ON j.id = t.job_id WHERE j.name = $1 AND t.state = 'running'",
        name, len(kinds), within_s=150,
    )  # fmt: skip
    return gates


async def all_were_accepted_once(
    farm: Farm, name: str, gates: list[Path], doubtful: set[str], redelivered: str = ""
) -> None:
    """Let go; every task is completed, by one accepted attempt, and its program ran once for each attempt: once in all,
    but on workers *doubtful*, which may never say how it ended (those that have reconnected since it began never do;
    the dispatcher of a threads pool may drop any word). What runs on the worker *redelivered*, Celery may run again."""
    for gate in gates:
        gate.unlink()
    job = "FROM tasks t JOIN jobs j ON j.id = t.job_id JOIN specs s ON s.id = t.spec_id WHERE j.name = $1"
    await farm.until(f"SELECT bool_and(t.state = 'completed') {job}", name, within_s=200)
    rows = await farm.rows(
        f"SELECT t.name, a.attempt, a.worker_id, a.ending, a.error FROM attempts a"
        f" JOIN (SELECT t.id, s.name {job}) t ON t.id = a.task_id ORDER BY 1, 2",
        name,
    )
    for task in {row["name"] for row in rows}:
        *before, last = (row for row in rows if row["name"] == task)
        assert last["ending"] == "completed", rows
        assert {row["worker_id"] for row in before} <= doubtful, rows
        assert {row["ending"] for row in before} <= {"interrupted", "lost"}, rows
    for gate in gates:
        ran_on = [row["worker_id"] for row in rows if row["name"] == gate.name]
        again = await asyncio.to_thread(how_often, gate) - len(ran_on)
        assert 0 <= again <= ran_on.count(redelivered), (gate.name, rows)


@pytest.mark.extensive
@pytest.mark.timeout(600)
async def test_what_runs_while_connections_are_cut_is_accepted_once(
    farm: Farm, rabbitmq: Services, tmp_path: Path
) -> None:
    management = rabbitmq.management_url or os.environ["FARMHAND_TEST_MANAGEMENT_URL"]
    lines = Lines(management, support.name_of(farm.amqp_url))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(lines.close)
        prefork, threads = [
            await stack.enter_async_context(celery_worker(farm.amqp_url, tmp_path, pool, "-P", pool, *options))
            for pool, options in (
                ("prefork", ("-c", "2", "-Q", "celery,late")),
                ("threads", ("-c", "1", "-E")),
            )
        ]
        doubtful, both = {name_of(threads.hostname)}, {name_of(one.hostname) for one in (prefork, threads)}
        for worker in (prefork, threads):
            await offers(farm, name_of(worker.hostname), "shop.late")
        gates = await gated(farm, tmp_path, "theirs", "shop.hold", "shop.hold", "shop.hold")
        await lines.cut(THEIRS, 4)
        await asyncio.gather(prefork.has_come_back(), threads.has_come_back())
        await all_were_accepted_once(farm, "theirs", gates, both)

        gates = await gated(farm, tmp_path, "ours", "shop.hold", "shop.hold", "shop.hold")
        await lines.cut(OURS, 2)
        await all_were_accepted_once(farm, "ours", gates, doubtful)

        (late,) = await gated(farm, tmp_path, "late", "shop.late", queue="late")
        await lines.cut(THEIRS, 4)
        await asyncio.gather(prefork.has_come_back(2), threads.has_come_back(2))
        late.unlink()
        await farm.until("SELECT count(*) = 13 FROM tasks WHERE state = 'completed'", within_s=200)
        while await asyncio.to_thread(how_often, late) < 2:  # noqa: ASYNC110 - by redelivery
            await asyncio.sleep(0.1)
        rows = await farm.rows(
            "SELECT a.ending FROM attempts a JOIN tasks t ON t.id = a.task_id JOIN specs s ON s.id = t.spec_id"
            " WHERE s.name = $1", late.name,
        )  # fmt: skip
        assert [row["ending"] for row in rows] == ["completed"], "it ran twice, and is accepted once"
        assert {row["epoch"] for row in await farm.rows("SELECT epoch FROM workers")} == {1}, "nobody was given up"


@pytest.mark.extensive
@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_what_runs_while_its_broker_is_restarted_is_accepted_once(
    database_url: str, amqp_url: str, own_services: Callable[..., Services], tmp_path: Path
) -> None:
    services = await asyncio.to_thread(own_services, postgres=False)
    assert services.rabbitmq is not None
    realm = realm_of(services.amqp_url)
    async with AsyncExitStack() as stack:
        farm = await stack.enter_async_context(
            running(database_url, amqp_url, gateways="celery", celery_urls=services.amqp_url)
        )
        prefork, threads, solo = [
            await stack.enter_async_context(celery_worker(services.amqp_url, tmp_path, pool, "-P", pool, *options))
            for pool, options in (("prefork", ("-c", "2")), ("threads", ("-c", "1", "-E")), ("solo", ()))
        ]
        await farm.until(
            "SELECT count(*) = 3 FROM workers WHERE 'shop.hold' = ANY(kinds) AND connection = 'online'", within_s=150
        )
        gates = await gated(farm, tmp_path, "restart", *["shop.hold"] * 4)
        await asyncio.to_thread(services.rabbitmq.ctl, "eval", "[dets:sync(Table) || Table <- dets:all()].")
        services.rabbitmq.kill()
        await asyncio.to_thread(services.rabbitmq.restart)
        await asyncio.gather(prefork.has_come_back(), threads.has_come_back())
        doubtful = {name_of(one.hostname, realm) for one in (prefork, threads, solo)}
        await all_were_accepted_once(farm, "restart", gates, doubtful, name_of(solo.hostname, realm))
