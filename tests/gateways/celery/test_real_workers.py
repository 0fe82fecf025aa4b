"""Real Celery workers of three pools on a real broker, through what happens to them."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from coordinator.client import AsyncFarmhandClient
from coordinator.gateways.celery import translate
from coordinator.gateways.celery.bridge import realm_of
from coordinator.gateways.celery.translate import name_of
from coordinator.local.mixed.stock_celery import celery_worker as stock_worker
from coordinator.local.services import Services
from coordinator.operations.requests import CancelTasks
from tests.gateways.celery.calls import a_call
from tests.gateways.celery.workers import celery_worker, clients, connected, how_often, offers
from tests.gateways.conftest import Gates
from tests.support import services
from tests.support.farm import Farm, running

#: No `-E`: their events are turned on by a control message.
POOLS = {"prefork": ("-c", "2"), "threads": ("-c", "2"), "solo": ()}


async def test_a_stock_worker_takes_part_from_start_to_warm_shutdown(farm: Farm, tmp_path: Path) -> None:
    async with celery_worker(farm.amqp_url, tmp_path, "w", "-P", "prefork", "-c", "2") as worker:
        name = name_of(worker.hostname)
        await offers(farm, name, "shop.add")
        (row,) = await farm.rows("SELECT * FROM workers")
        assert (row["protocol"], row["foreign_id"], row["software"]) == ("celery", "w@test", "py-celery 5.6.3")
        assert (row["heartbeat_s"], row["lost_after_s"], row["slots"]) == (2.0, 20.0, 2)
        assert row["queues"] == ["default", "celery"]
        await farm.submit(
            a_call("shop.add", 2, 3), a_call("shop.fail", retries=0), a_call("shop.flaky"),
            {**a_call("shop.fail", retries=0), "name": "env", "environment": {"A": "b"}},
        )  # fmt: skip
        await farm.until("SELECT count(*) = 4 FROM tasks WHERE state IN ('completed', 'failed')")
        first, second, third, fourth = await farm.rows("SELECT * FROM attempts ORDER BY task_id, attempt")
        assert (first["ending"], first["result"], first["worker_id"]) == ("completed", '"5"', name)
        assert first["run_s"] > 0
        assert (second["ending"], second["error"]) == ("failed", "ValueError('bad')")
        assert (third["ending"], third["result"]) == ("completed", "\"'at last'\""), "its own retry was waited for"
        assert "cannot be given an environment" in fourth["error"]
        await asyncio.to_thread(
            clients, farm.amqp_url, "app.send_task('shop.add', (20, 22)); app.send_task('shop.fail')"
        )
        await farm.until(
            "SELECT count(*) = 2 FROM watched_tasks WHERE state IN ('succeeded', 'failed') AND sent_at IS NOT NULL"
        )
        async with AsyncFarmhandClient(Gates(farm).url, actor="tester") as client:
            (task,) = (await client.watched(worker=name, state="succeeded", name="shop.add")).items[:1]
            sole = await farm.submit(a_call("shop.add", 1, 2, exclusive=True))
            why = await client.why_task((await client.tasks(sole.job)).items[0].id)
            assert any("Farmhand's own agents" in reason.sentence for reason in why.reasons), why
        assert (task.result, task.args) == ("42", "(20, 22)")
        gate = tmp_path / "gate"
        gate.touch()
        await farm.submit(a_call("shop.hold", str(gate)))
        held = await farm.until("SELECT id FROM tasks WHERE state = 'running'")
        await farm.desk.ask(CancelTasks((held,), "tester"))
        assert await farm.until("SELECT ending FROM attempts WHERE task_id = $1 AND state = 'ended'", held)
        assert gate.exists(), "the process was killed"
        worker.stop()
        await connected(farm, name, "offline")
        assert await worker.ended() == 0


async def test_a_farm_brings_stock_workers_of_its_own_along(farm: Farm, tmp_path: Path) -> None:
    part = await asyncio.to_thread(stock_worker, "beside", farm.amqp_url, tmp_path, pool="solo", concurrency=1)
    part.start()
    try:
        await farm.until("SELECT true FROM workers WHERE 'sums.squares' = ANY(kinds) AND connection = 'online'")
        await farm.submit(a_call("sums.squares", str(tmp_path), "part", 1, 10))
        await farm.until("SELECT state = 'completed' FROM tasks")
        (row,) = await farm.rows("SELECT result FROM attempts")
        assert json.loads(row["result"]) == "385"
        assert (tmp_path / "part").read_text() == "385\n"
    finally:
        await part.stop()
    assert part.exit_code == 0


@pytest.mark.extensive
@pytest.mark.timeout(400)
async def test_three_pools_share_a_job_and_one_is_killed(farm: Farm, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    async with (
        celery_worker(farm.amqp_url, tmp_path, "prefork", "-P", "prefork", *POOLS["prefork"]) as prefork,
        celery_worker(farm.amqp_url, tmp_path, "threads", "-P", "threads", *POOLS["threads"]),
        celery_worker(farm.amqp_url, tmp_path, "solo", "-P", "solo", "-E"),
    ):
        for pool in POOLS:
            await offers(farm, name_of(f"{pool}@test"), "shop.hold")
        await farm.submit(*(a_call("shop.hold", str(gate)) | {"name": f"hold-{one}"} for one in range(7)))
        await farm.until("SELECT count(*) = 5 FROM tasks WHERE state = 'running'")
        rows = await farm.rows("SELECT worker_id, count(*) AS n FROM attempts WHERE state = 'running' GROUP BY 1")
        assert {row["worker_id"]: row["n"] for row in rows} == {
            name_of("prefork@test"): 2, name_of("threads@test"): 2, name_of("solo@test"): 1,
        }, "never more than the pool runs at once"  # fmt: skip
        prefork.kill()
        await connected(farm, name_of(prefork.hostname), "lost")
        gate.unlink()
        await farm.until("SELECT count(*) = 7 FROM tasks WHERE state = 'completed'", within_s=120)
        rows = await farm.rows("SELECT ending, count(*) AS n, min(error) FROM attempts GROUP BY 1 ORDER BY 1")
        endings = {row["ending"]: row["n"] for row in rows}
        # The dispatcher of a threads pool may lose the last word of a task (`events/dispatcher.py`, flush).
        unheard = endings.pop("interrupted", 0)
        assert endings == {"completed": 7, "lost": 2}, rows
        given = 9 + unheard
        async with celery_worker(farm.amqp_url, tmp_path, "prefork", "-P", "prefork", *POOLS["prefork"]) as again:
            await offers(farm, name_of(again.hostname), "shop.hold")
            runs = await asyncio.to_thread(how_often, gate)
            await farm.submit(a_call("shop.add", 1, 2))
            await farm.until("SELECT count(*) = 8 FROM tasks WHERE state = 'completed'")
            assert await asyncio.to_thread(how_often, gate) == runs == given, "what it had is not run by its next life"


@pytest.mark.extensive
@pytest.mark.timeout(400)
async def test_several_applications_on_two_virtual_hosts_are_one_farm(
    database_url: str, amqp_url: str, rabbitmq: Services, tmp_path: Path
) -> None:
    """Their names, default queues and tasks differ, one has no `-E`; on the other virtual host a node has the same
    name."""
    async with AsyncExitStack() as stack:
        elsewhere = await stack.enter_async_context(services.virtual_host(rabbitmq.amqp_url, rabbitmq.management_url))
        farm = await stack.enter_async_context(
            running(database_url, amqp_url, gateways="celery", celery_urls=f"{amqp_url},{elsewhere}")
        )
        started = {}
        for title, url, module, options in (
            ("shop", amqp_url, "farm_app", ("-E",)),
            ("bakery", amqp_url, "bakery_app", ()),
            ("branch", elsewhere, "bakery_app", ("-E",)),
        ):
            node = "bakery" if title == "branch" else title
            (place := tmp_path / title).mkdir()
            await stack.enter_async_context(celery_worker(url, place, node, "-P", "solo", *options, module=module))
            started[title] = translate.name_of(translate.foreign_id(realm_of(url), f"{node}@test"))
        assert len(set(started.values())) == 3
        for title, name in started.items():
            await offers(farm, name, "shop.add" if title == "shop" else "bakery.bake")
        rows = {row["id"]: row for row in await farm.rows("SELECT id, queues, kinds FROM workers")}
        assert [rows[started[title]]["queues"] for title in ("shop", "bakery", "branch")] == [
            ["default", "celery"], ["default", "bakery"], ["default", "bakery"],
        ]  # fmt: skip
        assert "bakery.bake" not in rows[started["shop"]]["kinds"]
        await farm.submit(
            a_call("shop.add", 2, 3),
            *(a_call("bakery.bake", number) | {"name": f"bake-{number}"} for number in range(6)),
        )
        await farm.until("SELECT count(*) = 7 FROM tasks WHERE state = 'completed'")
        found = await farm.rows(
            "SELECT s.name, a.worker_id, a.result FROM attempts a JOIN tasks t ON t.id = a.task_id"
            " JOIN specs s ON s.id = t.spec_id WHERE a.ending = 'completed'"
        )
        assert {row["worker_id"] for row in found if row["name"].startswith("bake")} == {
            started["bakery"], started["branch"],
        }  # fmt: skip
        assert {row["name"]: json.loads(row["result"]) for row in found} == {
            "shop.add": "5", **{f"bake-{number}": str(2 * number) for number in range(6)},
        }  # fmt: skip
        for url in (amqp_url, elsewhere):
            await asyncio.to_thread(
                clients, url, "app.send_task('bakery.bake', (20,), task_id='the-same', queue='bakery')"
            )
        await farm.until("SELECT count(*) = 2 FROM watched_tasks WHERE state = 'succeeded'")
        seen = await farm.rows("SELECT worker_id FROM watched_tasks")
        assert {row["worker_id"] for row in seen} == {started["bakery"], started["branch"]}, "one id, two brokers"
