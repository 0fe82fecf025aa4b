"""An agent comes, runs something, and hears the verdict."""

from schemas.task import Outcome, TaskLog
from schemas.worker import WorkerHeartbeat, WorkerOnline
from tests.integration.agent.conftest import NAME, StartAgent
from tests.integration.agent.peer import Peer, an_attempt


async def test_an_agent_joins_beats_runs_a_task_and_forgets_it_at_the_verdict(
    peer: Peer, start_agent: StartAgent
) -> None:
    await start_agent()
    envelope, online = await peer.hear_with_envelope(WorkerOnline)
    assert envelope.worker == NAME
    assert envelope.epoch == 0
    assert online.capacity.slots == 4
    assert {"exec", "python", "echo", "sleep"} <= set(online.kinds)
    await peer.assign(an_attempt(7))
    finished = await peer.finished(7)
    assert finished.outcome is Outcome.COMPLETED
    log = await peer.hear(TaskLog)
    assert (log.task, log.chunk, log.text) == (7, 0, "hello 7\n")
    beat = await peer.hear(WorkerHeartbeat, lambda beat: not beat.holds)
    assert beat.stats is not None
    assert beat.stats.memory_total > 0
