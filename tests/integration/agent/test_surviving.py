"""What an agent loses when it dies, when the broker dies, when a disk is full: nothing."""

import asyncio
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from coordinator.local.services import Services
from schemas import topology
from schemas.task import AttemptRef, Outcome, Phase, TaskFinished, TaskProgress, TaskStarted, Verdict
from schemas.worker import Duty, RequestedState, WorkerHeartbeat, WorkerOffline, WorkerOnline, WorkerStateChanged
from tests.integration.agent.conftest import NAME, AgentProcess, Said, StartAgent, StartProcess
from tests.integration.agent.peer import Peer, an_attempt, python
from tests.support.processes import is_gone, wait_gone

#: Shows its pid and stays.
STAYS = "import os,signal; print(f'::progress {os.getpid()}/{10**9}', flush=True); signal.pause()"
#: Leaves a mark for each time it is run; the second one stays.
MARKS = "open('runs', 'a').write('x'); print('::progress 1/2', flush=True)"
MARKS_AND_STAYS = MARKS + "; import signal; signal.pause()"
#: Leaves a mark, and ends when somebody opens the pipe.
WAITS = "open('runs', 'a').write('x'); print('::progress 1/2', flush=True); open({pipe!r}).read(); print('went on')"


def tasks_of(tasks: range) -> Callable[[TaskFinished], bool]:
    return lambda report: report.task in tasks


async def test_orphans_of_a_killed_agent_are_ended_before_the_next_one_says_online(
    peer: Peer, start_process: StartProcess
) -> None:
    agent = start_process()
    await peer.hear(WorkerOnline)
    leaves_its_session = (
        "import subprocess,sys,os\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'], start_new_session=True)\n"
        "print(f'::progress {p.pid}/{10**9}', flush=True)\n"
        "import signal; signal.pause()"
    )
    await peer.assign(an_attempt(1, 1, python(STAYS)), an_attempt(2, 1, python(leaves_its_session)))
    orphans = [psutil.Process((await peer.hear(TaskProgress)).done) for _ in range(2)]
    await agent.kill()
    assert not any(is_gone(orphan) for orphan in orphans)
    start_process()
    online = await peer.hear(WorkerOnline)
    assert all(is_gone(orphan) for orphan in orphans)
    assert {(held.task, held.phase, held.outcome) for held in online.holds} == {
        (1, Phase.FINISHED, Outcome.INTERRUPTED),
        (2, Phase.FINISHED, Outcome.INTERRUPTED),
    }
    assert (await peer.finished(1)).outcome is Outcome.INTERRUPTED
    assert (await peer.finished(2)).outcome is Outcome.INTERRUPTED


async def test_a_report_without_a_verdict_outlives_the_agent(peer: Peer, start_process: StartProcess) -> None:
    peer.judges = False
    agent = start_process()
    await peer.hear(WorkerOnline)
    await peer.assign(an_attempt(1, 1, python("open('a','w').write('abc'); print('::result 42')")))
    first = await peer.finished(1)
    await agent.kill()
    peer.judges = True
    start_process()
    online = await peer.hear(WorkerOnline)
    assert [(held.task, held.outcome) for held in online.holds] == [(1, Outcome.COMPLETED)]
    again = await peer.finished(1)
    assert again == first
    assert again.result == 42


async def test_a_report_is_sent_again_until_its_verdict_comes(peer: Peer, start_agent: StartAgent) -> None:
    peer.judges = False
    await start_agent()
    await peer.hear(WorkerOnline)
    await peer.assign(an_attempt(1))
    assert await peer.finished(1) == await peer.finished(1)
    await peer.hear(WorkerHeartbeat, lambda beat: [held.phase for held in beat.holds] == [Phase.FINISHED])
    await peer.judge(1, Verdict.ACCEPTED)
    await peer.hear(WorkerHeartbeat, lambda beat: beat.holds == [])


async def test_an_attempt_that_ran_in_a_former_life_is_not_run_again(
    peer: Peer, start_process: StartProcess, tmp_path: Path
) -> None:
    agent = start_process()
    await peer.hear(WorkerOnline)
    attempt = an_attempt(1, 1, python(MARKS))
    await peer.assign(attempt)
    await peer.finished(1)
    await peer.hear(WorkerHeartbeat, lambda beat: beat.holds == [])
    await agent.kill()
    start_process()
    await peer.hear(WorkerOnline)
    await peer.assign(attempt)
    assert (await peer.finished(1)).outcome is Outcome.INTERRUPTED
    assert (tmp_path / "outputs/1/1/runs").read_text() == "x"


async def test_agents_that_are_killed_again_and_again_lose_nothing_and_run_nothing_twice(
    peer: Peer, start_process: StartProcess, tmp_path: Path
) -> None:
    reports: dict[int, TaskFinished] = {}
    listed: set[int] = set()

    async def one_life() -> AgentProcess:
        agent = start_process("--slots", "8")
        online = await peer.hear(WorkerOnline)
        listed.update(held.task for held in online.holds)
        return agent

    for life in range(3):
        agent = await one_life()
        tasks = range(life * 6 + 1, life * 6 + 7)
        await peer.assign(*(an_attempt(task, 1, python(MARKS if task % 2 else MARKS_AND_STAYS)) for task in tasks))
        for _ in range(2):
            report = await peer.hear(TaskFinished, tasks_of(tasks))
            reports[report.task] = report
        await agent.kill()
    await one_life()
    await peer.request(RequestedState.DRAIN, lazy=False)
    while not listed <= set(reports):
        report = await peer.hear(TaskFinished)
        reports[report.task] = report
    assert {report.outcome for report in reports.values()} == {Outcome.COMPLETED, Outcome.INTERRUPTED}
    for task in range(1, 19):
        mark = tmp_path / f"outputs/{task}/1/runs"
        runs = mark.read_text() if mark.exists() else ""
        if task not in reports:
            assert runs == "", "what is neither listed nor reported has not run"
        elif reports[task].outcome is Outcome.COMPLETED:
            assert runs == "x"
        else:
            assert runs in ("", "x"), "run once at most"


@pytest.mark.timeout(400)
async def test_the_broker_is_restarted_in_the_middle_of_the_work(
    own_services: Callable[..., Services], start_process: StartProcess, said: Said, tmp_path: Path
) -> None:
    services = own_services(postgres=False)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    async with Peer(services.amqp_url, NAME) as peer:
        agent = start_process(url=services.amqp_url)
        first = await peer.hear_with_envelope(WorkerOnline)
        await peer.assign(an_attempt(1, 1, python(WAITS.format(pipe=str(pipe)))))
        await peer.hear(TaskProgress)
        assert services.rabbitmq is not None
        # What the broker has just declared it may forget in a crash: have it written down first.
        await asyncio.to_thread(services.rabbitmq.ctl, "eval", "[dets:sync(Table) || Table <- dets:all()].")
        services.rabbitmq.kill()
        await said(agent, "no connection to the broker")
        pipe.write_text("")
        services.rabbitmq.restart()
    async with Peer(services.amqp_url, NAME) as peer:
        peer.instances, peer.epoch = [str(first[0].instance)], 1
        second = await peer.hear_with_envelope(WorkerOnline, within_s=180)
        assert second[0].instance == first[0].instance
        finished = await peer.finished(1)
        assert finished.outcome is Outcome.COMPLETED
        assert (tmp_path / "outputs/1/1/runs").read_text() == "x"
        assert "went on" in await peer.log_of(1, "went on\n")


async def test_an_agent_waits_for_a_broker_that_is_not_there_and_says_so(
    start_process: StartProcess, said: Said
) -> None:
    agent = start_process(url="amqp://farm:secret-word@127.0.0.1:1/farm")
    await said(agent, 'amqp://127.0.0.1:1/farm", "problem"')
    agent.signal(signal.SIGTERM)
    assert await agent.wait() == 0
    assert "secret-word" not in agent.said()
    assert "Traceback" not in agent.said()


async def test_a_worker_whose_queue_is_deleted_comes_back(peer: Peer, start_agent: StartAgent) -> None:
    await start_agent()
    first, _ = await peer.hear_with_envelope(WorkerOnline)
    await peer.channel.queue_delete(topology.worker_queue(NAME).name)
    second, _ = await peer.hear_with_envelope(WorkerOnline)
    assert second.instance == first.instance
    await peer.assign(an_attempt(1))
    assert (await peer.finished(1)).outcome is Outcome.COMPLETED


async def test_reports_wait_for_a_coordinator_that_has_not_declared_its_queues(
    peer: Peer, start_agent: StartAgent
) -> None:
    await start_agent()
    await peer.hear(WorkerOnline)
    await peer.channel.queue_delete(topology.EVENTS.name)
    await peer.assign(an_attempt(1))
    await peer.log_of(1, "hello 1\n")
    await peer.close()
    await peer.connect()
    assert (await peer.finished(1)).outcome is Outcome.COMPLETED


async def test_after_a_reset_it_lists_what_it_holds_and_stops_what_it_may_not_keep(
    peer: Peer, start_agent: StartAgent
) -> None:
    await start_agent()
    await peer.hear(WorkerOnline)
    await peer.assign(an_attempt(1, 1, python(STAYS)), an_attempt(2, 1, python(STAYS)))
    for _ in range(2):
        await peer.hear(TaskStarted)
    peer.welcomes = False
    await peer.reset()
    online = await peer.hear(WorkerOnline)
    assert {(held.task, held.phase) for held in online.holds} == {(1, Phase.RUNNING), (2, Phase.RUNNING)}
    peer.epoch = 2
    await peer.say(peer.welcome(online.model_copy(update={"holds": [AttemptRef(task=2, attempt=1)]})))
    assert (await peer.finished(1)).outcome is Outcome.INTERRUPTED
    beat = await peer.hear(WorkerHeartbeat, lambda beat: [held.task for held in beat.holds] == [2])
    assert beat.holds[0].phase is Phase.RUNNING


async def test_an_online_that_nobody_answers_is_said_again(peer: Peer, start_agent: StartAgent) -> None:
    peer.welcomes = False
    await start_agent()
    await peer.hear(WorkerOnline)
    online = await peer.hear(WorkerOnline)
    assert online.duty is Duty.AWAKE


async def test_sigterm_lets_finish_what_runs(peer: Peer, start_process: StartProcess, tmp_path: Path) -> None:
    agent = start_process()
    await peer.hear(WorkerOnline)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    await peer.assign(an_attempt(1, 1, python(WAITS.format(pipe=str(pipe)))))
    await peer.hear(TaskProgress)
    agent.signal(signal.SIGTERM)
    await peer.hear(WorkerStateChanged, lambda change: change.duty is Duty.DRAINING)
    await peer.assign(an_attempt(2))
    assert (await peer.finished(2)).outcome is Outcome.INTERRUPTED, "nothing new is taken"
    pipe.write_text("")
    assert (await peer.finished(1)).outcome is Outcome.COMPLETED
    goodbye = await peer.hear(WorkerOffline)
    assert goodbye.handed_back == []
    assert await agent.wait() == 0


async def test_sigterm_hands_back_what_does_not_finish_in_time(peer: Peer, start_process: StartProcess) -> None:
    agent = start_process("--drain-s", "0.2")
    await peer.hear(WorkerOnline)
    await peer.assign(an_attempt(1, 1, python(STAYS)))
    running = psutil.Process((await peer.hear(TaskProgress)).done)
    agent.signal(signal.SIGTERM)
    goodbye = await peer.hear(WorkerOffline)
    assert [(ref.task, ref.attempt) for ref in goodbye.handed_back] == [(1, 1)]
    assert await agent.wait() == 0
    assert is_gone(running)
    start_process()
    assert (await peer.hear(WorkerOnline)).holds == [], "what was handed back is no longer held"


async def test_a_second_signal_stops_at_once(peer: Peer, start_process: StartProcess, said: Said) -> None:
    agent = start_process()
    await peer.hear(WorkerOnline)
    await peer.assign(an_attempt(1, 1, python(STAYS)))
    running = psutil.Process((await peer.hear(TaskProgress)).done)
    agent.signal(signal.SIGINT)
    await said(agent, "leaving")
    agent.signal(signal.SIGINT)
    assert await agent.wait() == 128 + signal.SIGINT
    await asyncio.to_thread(wait_gone, [running])
    start_process()
    assert (await peer.finished(1)).outcome is Outcome.INTERRUPTED


async def test_a_full_disk_fails_the_task_with_words_that_help_and_the_agent_goes_on(
    peer: Peer, start_process: StartProcess, tmp_path: Path
) -> None:
    agent = start_process()
    await peer.hear(WorkerOnline)
    await peer.assign(an_attempt(1))
    await peer.finished(1)
    await peer.hear(WorkerHeartbeat, lambda beat: beat.holds == [])
    _, hard = resource.prlimit(agent.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(agent.pid, resource.RLIMIT_FSIZE, (1, hard))
    await peer.assign(an_attempt(2))
    finished = await peer.finished(2)
    assert finished.outcome is Outcome.FAILED
    assert f"the agent's journal {tmp_path}/data/journal.sqlite cannot be written" in (finished.error or "")
    assert "free space there, or set --data-dir" in (finished.error or "")
    await peer.hear(WorkerHeartbeat, lambda beat: beat.duty is Duty.ERROR)
    resource.prlimit(agent.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
    await peer.hear(WorkerStateChanged, lambda change: change.duty is Duty.AWAKE)
    await peer.assign(an_attempt(3))
    assert (await peer.finished(3)).outcome is Outcome.COMPLETED


async def test_a_program_that_fills_the_disk_fails_and_the_agent_goes_on(peer: Peer, start_agent: StartAgent) -> None:
    await start_agent()
    await peer.hear(WorkerOnline)
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); open('a','wb').write(b'x' * 10**6)"
    )
    await peer.assign(an_attempt(1, 1, python(code)), an_attempt(2))
    finished = await peer.finished(1)
    assert (finished.outcome, finished.exit_code) == (Outcome.FAILED, 1)
    assert "File too large" in await peer.log_of(1, "OSError")
    assert (await peer.finished(2)).outcome is Outcome.COMPLETED
