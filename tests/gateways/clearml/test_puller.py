"""The small agent of demonstrations: it does what the real one does (see test_real_agent.py), as a process."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from coordinator.local.mixed.clearml_puller import AgentSettings, ClearmlPuller
from tests.gateways.clearml.conftest import Lab

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def pulling(lab: Lab, *queues: str) -> AsyncIterator[ClearmlPuller]:
    """An agent within this process."""
    access, secret = lab.keys["access_key"], lab.keys["secret_key"]
    settings = AgentSettings(
        api_host=lab.gates.url, api_access_key=access, api_secret_key=secret, worker_id=lab.worker("puller"),
        agent_queue_poll_freq_sec=0.1,
    )  # fmt: skip
    puller = ClearmlPuller(settings, queues)
    running = asyncio.create_task(puller.run())
    try:
        yield puller
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def ends(lab: Lab, job: int) -> list[str]:
    """How the attempts of a job ended, in order."""
    rows = await lab.farm.rows(
        "SELECT a.ending FROM attempts a JOIN tasks t ON t.id = a.task_id WHERE t.job_id = $1 AND a.state = 'ended'"
        " ORDER BY a.attempt",
        job,
    )
    return [row["ending"] for row in rows]


async def test_it_runs_what_its_queues_have_and_ends_what_is_canceled(lab: Lab) -> None:
    other = f"other-{lab.mark}"
    bad = await lab.submit("bad", queue=lab.queue, script="print('oh'); raise SystemExit(3)")
    good = await lab.submit("good", queue=other)
    async with pulling(lab, lab.queue, other) as puller:
        await lab.farm.until("SELECT state = 'completed' FROM tasks WHERE job_id = $1", good)
        assert puller.done[0][1] == "failed", "in the order of its queues"
        (row,) = await lab.farm.rows(
            "SELECT a.error, l.text FROM attempts a JOIN tasks t ON t.id = a.task_id JOIN logs l ON l.task_id = t.id"
            " WHERE t.job_id = $1 ORDER BY a.attempt LIMIT 1",
            bad,
        )
        assert (row["error"], row["text"]) == ("worker execution exit code 3", "oh\n")
        endless = await lab.submit("endless", queue=lab.queue, script="import time; time.sleep(9999)", priority=100)
        await lab.farm.until("SELECT state = 'running' FROM tasks WHERE job_id = $1", endless)
        async with lab.operator() as operator:
            await operator.cancel_job(endless)
        await lab.farm.until("SELECT count(*) = 1 FROM attempts a JOIN tasks t ON t.id = a.task_id"
                             " WHERE t.job_id = $1 AND a.state = 'ended'", endless)  # fmt: skip
        assert await ends(lab, endless) == ["revoked"]
    assert (await lab.row(lab.worker("puller")))["connection"] == "offline", "it said goodbye"


async def test_as_a_process_it_signs_off_when_it_is_told_to_end(lab: Lab) -> None:
    job = await lab.submit("endless", script="import time; time.sleep(9999)")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "CLEARML_API_HOST": lab.gates.url,
        "CLEARML_API_ACCESS_KEY": lab.keys["access_key"],
        "CLEARML_API_SECRET_KEY": lab.keys["secret_key"],
        "CLEARML_WORKER_ID": lab.worker("process"),
    }
    program = (sys.executable, "-m", "coordinator.local.mixed.clearml_puller", "--queue", lab.queue)
    process = await asyncio.create_subprocess_exec(*program, env=environment)
    try:
        await lab.farm.until("SELECT state = 'running' FROM tasks WHERE job_id = $1", job)
        process.terminate()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (await lab.row(lab.worker("process")))["connection"] == "offline"
    await lab.farm.until("SELECT state = 'ready' FROM tasks WHERE job_id = $1", job)
