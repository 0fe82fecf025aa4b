"""Exclusive attempts on a real agent: started under a lease, and ended with it whatever has become of the agent."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from schemas.task import AssignedAttempt, Command, Limits, Outcome, Phase, TaskFinished, TaskProgress, TaskStarted
from schemas.worker import RequestedState, WorkerHeartbeat, WorkerOffline, WorkerOnline
from tests.integration.agent.conftest import StartAgent, StartProcess
from tests.integration.agent.peer import Peer, an_attempt, python
from tests.support import ticks
from tests.support.processes import is_gone, wait_gone

LEASE_S = 2.0
#: Says its pid and that of what it has left in a session of its own; both stay, whatever SIGTERM says.
FAMILY = (
    "import os,signal,subprocess,sys\n"
    "signal.signal(15, signal.SIG_IGN)\n"
    "p = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'], start_new_session=True)\n"
    "print(f'::progress {os.getpid()}/{10**9}\\n::activity {p.pid}', flush=True)\n"
    "signal.pause()"
)


def exclusive(*commands: Command, task: int = 1) -> AssignedAttempt:
    return an_attempt(task, 1, *commands, exclusive=True)


def ticking(tmp_path: Path) -> Command:
    argv = ticks.argv("it", tmp_path / "book", tmp_path / "enough")
    return Command(name="exec", parameters={"argv": argv})


async def told(peer: Peer) -> list[psutil.Process]:
    """The processes of `FAMILY`."""
    progress = await peer.hear(TaskProgress, lambda event: bool(event.activity))
    return [psutil.Process(progress.done), psutil.Process(int(progress.activity or 0))]


async def ended(processes: list[psutil.Process]) -> None:
    """Wait until they are gone."""
    await asyncio.to_thread(wait_gone, processes)


def fits(phase: Phase) -> Callable[[WorkerHeartbeat], bool]:
    return lambda beat: [held.phase for held in beat.holds] == [phase]


async def test_it_starts_when_the_first_heartbeat_that_lists_it_is_acknowledged(
    peer: Peer, start_agent: StartAgent
) -> None:
    peer.heartbeat_s = 60  # so that the heartbeat is sent because of the assignment
    await start_agent()
    online = await peer.hear(WorkerOnline)
    assert {"exec", "python"} <= set(online.supervises)
    assert not {"echo", "sleep"} & set(online.supervises)
    await peer.assign(exclusive(python("print('::result 1')"), task=1), an_attempt(2))
    await peer.hear(WorkerHeartbeat, lambda beat: (1, Phase.RECEIVED) in [(one.task, one.phase) for one in beat.holds])
    await peer.finished(2)
    assert not [event for _, event in peer.events if isinstance(event, TaskStarted) and event.task == 1]

    peer.lease_s = LEASE_S
    await peer.assign(exclusive(python("print('::result 2')"), task=3))

    reports = [await peer.finished(1), await peer.finished(3)]
    assert [(report.outcome, report.result) for report in reports] == [(Outcome.COMPLETED, 1), (Outcome.COMPLETED, 2)]


async def test_it_goes_on_while_its_lease_is_renewed_and_is_interrupted_when_it_is_not(
    peer: Peer, start_agent: StartAgent, tmp_path: Path
) -> None:
    peer.lease_s = LEASE_S
    await start_agent()
    await peer.hear(WorkerOnline)
    await peer.assign(exclusive(ticking(tmp_path)))
    await peer.hear(TaskStarted)
    for _ in range(12):  # longer than one lease
        await peer.hear(WorkerHeartbeat, fits(Phase.RUNNING))
    peer.lease_s = None

    report = await peer.finished(1)

    assert report.outcome is Outcome.INTERRUPTED
    assert report.error is not None
    assert "lease" in report.error
    ((began, last),) = ticks.runs(tmp_path / "book").values()
    assert last - began > LEASE_S


async def test_its_limits_are_its_programs_and_not_its_supervisors(peer: Peer, start_agent: StartAgent) -> None:
    peer.lease_s = 30.0
    await start_agent(nice=5)
    await peer.hear(WorkerOnline)
    grow = python("b = bytearray(200 * 2**20); import signal; signal.pause()")
    place = python("import os; print('::result', [os.nice(0), os.getpriority(os.PRIO_PROCESS, os.getppid())])")
    await peer.assign(
        an_attempt(1, 1, grow, exclusive=True, limits=Limits(memory_mb=120)),
        an_attempt(2, 1, place, exclusive=True, limits=Limits(nice=9)),
    )
    finished = await peer.finished(1)
    assert (finished.outcome, finished.cause) == (Outcome.FAILED, "memory"), finished.error
    assert (await peer.finished(2)).result == [max(9, os.nice(0)), os.nice(0)]


@pytest.mark.parametrize("child_too", [False, True], ids=["agent", "agent-and-child"])
async def test_when_the_agent_is_stopped_its_supervisor_ends_the_task_in_time(
    peer: Peer, start_process: StartProcess, *, child_too: bool
) -> None:
    peer.lease_s = LEASE_S
    agent = start_process()
    await peer.hear(WorkerOnline)
    await peer.assign(exclusive(python(FAMILY)))
    family = await told(peer)
    agent.signal(signal.SIGSTOP)
    if child_too:
        family[0].suspend()

    await ended(family)

    agent.signal(signal.SIGCONT)
    assert (await peer.hear(TaskFinished)).outcome is Outcome.INTERRUPTED


async def test_when_the_agent_is_killed_its_task_ends_at_once_and_the_next_life_says_so(
    peer: Peer, start_process: StartProcess
) -> None:
    peer.lease_s = 3600.0
    agent = start_process()
    await peer.hear(WorkerOnline)
    await peer.assign(exclusive(python(FAMILY)))
    family = await told(peer)

    await agent.kill()

    await ended(family)
    start_process()
    online = await peer.hear(WorkerOnline)
    assert [(held.phase, held.outcome) for held in online.holds] == [(Phase.FINISHED, Outcome.INTERRUPTED)]


async def test_it_is_handed_back_only_when_nothing_of_it_is_left(peer: Peer, start_agent: StartAgent) -> None:
    peer.lease_s = LEASE_S
    await start_agent()
    await peer.hear(WorkerOnline)
    await peer.assign(exclusive(python(FAMILY)))
    family = await told(peer)

    await peer.request(RequestedState.OFFLINE, lazy=False)
    goodbye = await peer.hear(WorkerOffline)
    assert [(ref.task, ref.attempt) for ref in goodbye.handed_back] == [(1, 1)]
    assert all(is_gone(process) for process in family)


async def test_what_is_no_process_of_its_own_does_not_run_exclusively(peer: Peer, start_agent: StartAgent) -> None:
    peer.lease_s = LEASE_S
    await start_agent()
    await peer.hear(WorkerOnline)
    await peer.assign(exclusive(Command(name="echo", parameters={"message": "hello"})))
    report = await peer.finished(1)
    assert report.outcome is Outcome.FAILED
    assert "cannot run it in an exclusive task" in (report.error or "")


async def test_a_function_runs_exclusively_in_a_process_even_if_it_may_run_inside(
    peer: Peer, start_agent: StartAgent
) -> None:
    peer.lease_s = LEASE_S
    await start_agent(callables_inside=["os:*"])
    await peer.hear(WorkerOnline)
    await peer.assign(exclusive(Command(name="python", parameters={"callable": "os:getppid"})))
    report = await peer.finished(1)
    assert report.outcome is Outcome.COMPLETED
    supervisor = report.result
    assert isinstance(supervisor, int)
    with contextlib.suppress(psutil.NoSuchProcess):
        wait_gone([psutil.Process(supervisor)])
