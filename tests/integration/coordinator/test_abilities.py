"""Commands, secrets and limits that tasks ask for: only who has them gets the task; who has not said is not asked."""

from typing import Any

from tests.support.farm import Farm
from tests.support.wire import WireWorker

NEEDY = {
    "name": "needy",
    "kind": "exec",
    "commands": [{"name": "exec", "parameters": {"argv": ["true"], "env": {"KEY": {"secret": "s3-key"}}}}],
    "limits": {"memory_mb": 100, "nice": 0},
}


async def test_a_task_waits_for_a_worker_that_has_what_it_names(farm: Farm) -> None:
    able: dict[str, Any] = {"runners": ["exec"], "enforces": ["memory_mb", "nice"]}
    async with WireWorker(farm.amqp_url, "node-1", kinds=["exec"], **able, secrets=[]) as worker:
        await worker.online()
        await farm.submit(NEEDY)
        assert await farm.state(1) == "ready"
        needs = await farm.rows("SELECT runners, secrets, limits FROM classes")
        assert [tuple(row) for row in needs] == [(["exec"], ["s3-key"], ["memory_mb"])]

        await worker.online(secrets=["s3-key"])
        attempt = await worker.assigned()
        assert attempt.name == "needy"
        await worker.finish(attempt)
        await worker.verdict(attempt)


async def test_an_older_agent_that_does_not_say_what_it_has_is_given_everything(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1", kinds=["exec"]) as worker:
        await worker.online()
        await farm.submit(NEEDY)
        await worker.finish(await worker.assigned())
        await farm.until("SELECT state = 'completed' FROM jobs")
