"""Limits of a task's processes, on a real agent."""

import os

from schemas.task import Limits, Outcome, Resources
from schemas.worker import WorkerOnline
from tests.integration.agent.conftest import StartAgent
from tests.integration.agent.peer import Peer, an_attempt, python

#: In a child of a child, as programs do it.
GROW = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "b = bytearray(200 * 2**20); import signal; signal.pause()"])
"""
PLACE = """
import os, time
while os.nice(0) != {nice} or open("/proc/self/oom_score_adj").read().strip() != "700":
    time.sleep(0.01)
print("::result", os.nice(0))
"""


async def test_a_task_that_takes_more_memory_than_it_may_has_failed_for_want_of_memory(
    peer: Peer, start_agent: StartAgent
) -> None:
    await start_agent(enforce_memory=True)
    await peer.hear(WorkerOnline)
    await peer.assign(
        an_attempt(1, 1, python(GROW), limits=Limits(memory_mb=120)),
        an_attempt(2, 1, python(GROW), resources=Resources(memory_mb=120)),
        an_attempt(3, 1, python("b = bytearray(50 * 2**20); print('enough')"), limits=Limits(memory_mb=400)),
    )
    for task in (1, 2):
        finished = await peer.finished(task)
        assert (finished.outcome, finished.cause) == (Outcome.FAILED, "memory")
        assert finished.error is not None
        assert finished.error.startswith("it took ")
        assert finished.error.endswith(" MiB of memory, more than the 120 allowed")
    assert (await peer.finished(3)).outcome is Outcome.COMPLETED


async def test_a_tasks_processes_have_the_place_that_was_asked_for(peer: Peer, start_agent: StartAgent) -> None:
    ours = os.nice(0)
    wanted = max(ours, 9)
    await start_agent(nice=5, oom_score=700)
    await peer.hear(WorkerOnline)
    await peer.assign(an_attempt(1, 1, python(PLACE.format(nice=wanted)), limits=Limits(nice=9, oom_score=10)))
    assert (await peer.finished(1)).result == wanted
    assert os.nice(0) == ours, "the agent keeps its own"
