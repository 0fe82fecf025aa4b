"""Workers that fail everywhere are quarantined; those that only meet bad jobs are not."""

import pytest

from coordinator.operations.requests import RequestWorkerState
from schemas.task import Outcome
from schemas.worker import Capacity, RequestedState
from tests.support.farm import Farm
from tests.support.wire import WireWorker

pytestmark = pytest.mark.usefixtures("long_pauses")

DUTY = "SELECT duty FROM workers WHERE id = $1"


def single(farm: Farm, name: str) -> WireWorker:
    """A worker with one slot."""
    return WireWorker(farm.amqp_url, name, capacity=Capacity(slots=1))


async def _fail_one(farm: Farm, worker: WireWorker, **job: int) -> None:
    """A new job, of which *worker* fails the only task."""
    await farm.submit({"retries": 9}, **job)
    attempt = await worker.assigned()
    await worker.finish(attempt, Outcome.FAILED, error="no disk")
    await worker.verdict(attempt)


async def test_a_worker_that_fails_in_three_jobs_is_quarantined_until_it_is_woken(farm: Farm) -> None:
    async with single(farm, "good") as good, single(farm, "bad") as bad:
        await good.online()
        await farm.submit({})
        await good.assigned()
        await bad.online()
        for _ in range(2):
            await _fail_one(farm, bad)
        assert (await farm.rows(DUTY, "bad"))[0][0] == "awake"

        await _fail_one(farm, bad)

        assert (await farm.rows(DUTY, "bad"))[0][0] == "quarantined"
        row = (await farm.rows("SELECT detail ->> 'reason' FROM history WHERE event = 'worker.quarantined'"))[0]
        assert row[0] == "failed in 3 jobs what nobody else failed, finished tasks in none (health 0.25)"
        waiting = await farm.submit({})
        assert (await farm.rows("SELECT n_ready FROM jobs WHERE id = $1", waiting.job))[0][0] == 1

        await farm.desk.ask(RequestWorkerState("bad", RequestedState.AWAKE, "ana", reason="new disk"))
        await bad.beat()
        attempt = await bad.assigned()
        await bad.finish(attempt, Outcome.FAILED)
        await bad.verdict(attempt)
        assert (await farm.rows(DUTY, "bad"))[0][0] == "awake"


async def test_the_last_worker_of_its_kind_is_never_quarantined(farm: Farm) -> None:
    async with single(farm, "only") as only:
        await only.online()
        for _ in range(5):
            await _fail_one(farm, only)

        assert (await farm.rows(DUTY, "only"))[0][0] == "awake"


async def test_a_worker_that_also_finishes_tasks_is_not_quarantined(farm: Farm) -> None:
    async with single(farm, "a") as worker, single(farm, "b") as other:
        await worker.online()
        await farm.submit({})
        await worker.finish(await worker.assigned())
        await farm.until("SELECT state = 'completed' FROM jobs")
        await other.online()
        await farm.rows("UPDATE workers SET duty = 'asleep' WHERE id = 'b'")

        for _ in range(3):
            await _fail_one(farm, worker)

        assert (await farm.rows(DUTY, "a"))[0][0] == "awake"
