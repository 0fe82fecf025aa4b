"""One farm for all: workers of four protocols finish one job, and what works on one of them works on all."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from coordinator.client import AsyncFarmhandClient
from coordinator.local.farm import LocalFarm
from coordinator.local.mixed.crew import Crew
from coordinator.local.mixed.job import SHARES, expected, sums
from coordinator.local.mixed.story import GATEWAYS
from coordinator.local.plan import Plan
from coordinator.storage.invariants import violations
from schemas.views import JobState, TaskState, TaskView
from schemas.worker import Duty, RequestedState
from tests.demo.test_demo import start_demo
from tests.support.leftovers import Watch

pytestmark = pytest.mark.timeout(300)
LABEL = "demo"


def test_workers_of_four_protocols_do_one_job(place: Path, watch: Watch) -> None:
    with start_demo(place, "--mixed") as demo:
        output, _ = demo.communicate()
    assert demo.returncode == 0, output
    assert watch.still_running() == []
    assert list((place / "tmp").iterdir()) == []
    done = dict(re.findall(r"^(native|flamenco_v3|clearml|celery) +(\d+) tasks by ", output, re.MULTILINE))
    shares = {protocol: count for protocol, _, count in SHARES}
    # The sum of all is ours.
    assert {protocol: int(count) for protocol, count in done.items()} == shares | {"native": shares["native"] + 1}
    assert "every task was accepted exactly once" in output
    assert f"{expected()}, as the formula says" in output


async def until(what: Callable[[], Awaitable[object]]) -> None:
    """Return when it is so."""
    async with asyncio.timeout(60):
        while not await what():  # noqa: ASYNC110 - it is asked over HTTP
            await asyncio.sleep(0.1)


@pytest.mark.extensive
async def test_what_operators_do_works_on_workers_of_every_protocol(tmp_path: Path) -> None:
    plan = Plan(agents=1, settings={"FARMHAND_GATEWAYS": GATEWAYS})
    async with LocalFarm(plan) as farm, farm.client() as client, Crew(farm, client, farm.url, print):
        workers = {one.protocol: one for one in (await client.workers()).items}
        assert set(workers) == {protocol for protocol, _, _ in SHARES}
        for worker in workers.values():
            await client.label_worker(worker.id, [LABEL])
            await client.request_worker_state(worker.id, RequestedState.DRAIN, reason="a test")
        await until(lambda: all_are(client, Duty.DRAINING))

        job = (await client.submit(sums(tmp_path))).job
        firsts: dict[str, TaskView] = {}
        for task in (await client.tasks(job)).items:
            firsts.setdefault(task.name.rpartition("-")[0], task)
        for protocol, worker in workers.items():
            why = await client.why_task(firsts[protocol].id)
            assert "drain" in why.model_dump_json(), (protocol, why)
            assert (await client.worker(worker.id)).labels == [LABEL]
            assert not (await client.task(firsts[protocol].id)).attempts

        for worker in workers.values():
            await client.request_worker_state(worker.id, RequestedState.AWAKE)
        await until(lambda: is_done(client, job))
        assert (await client.job(job)).state is JobState.COMPLETED
        for protocol, worker in workers.items():
            task = await client.task(firsts[protocol].id)
            assert (task.state, task.worker) == (TaskState.COMPLETED, worker.id)
            told = " ".join(entry.event for entry in (await client.story_of_task(task.id)).items)
            assert "task.completed" in told, (protocol, told)
            said = [entry.event for entry in (await client.story_of_worker(worker.id)).items]
            assert "worker.online" in said, (protocol, said)
            shown = farmhand(farm, "workers", "show", worker.id).split()
            assert shown[:2] == ["worker", worker.id]
            assert shown[shown.index("protocol") + 1].rstrip(",") == protocol
        assert await violations(farm.services.database_url) == []


async def all_are(client: AsyncFarmhandClient, duty: Duty) -> bool:
    """Whether each worker has this duty."""
    return all(worker.duty == duty for worker in (await client.workers()).items)


async def is_done(client: AsyncFarmhandClient, job: int) -> bool:
    """Whether it has ended."""
    return (await client.job(job)).state is not JobState.ACTIVE


def farmhand(farm: LocalFarm, *words: str) -> str:
    """What the command says."""
    command = [sys.executable, "-P", "-c", "from coordinator.cli import main; main()", *words, "--url", farm.url]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=farm.path).stdout
