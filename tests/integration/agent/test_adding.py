"""Tasks that a running program adds to its job, on a real agent."""

from schemas.spawn import TaskSpawn, mark_of
from schemas.task import Outcome
from schemas.worker import WorkerOnline
from tests.integration.agent.conftest import StartAgent
from tests.integration.agent.peer import Peer, an_attempt, python


async def test_what_cannot_be_added_to_the_job_fails_the_task_for_good_and_says_why(
    peer: Peer, start_agent: StartAgent
) -> None:
    await start_agent()
    await peer.hear(WorkerOnline)
    secret = '{"name": "a", "kind": "exec", "commands": [{"name": "exec", "parameters": {"argv": [{"secret": "s"}]}}]}'
    lines = [
        "::spawn",
        '::spawn {"name": "cut',
        '::spawn ["name"]',
        '::spawn {"name": "a", "kind": "echo"}',
        '::spawn {"name": "a", "kind": "echo", "commands": [{"name": "echo"}], "proirity": 3}',
        f"::spawn {secret}",
    ]
    whys = ["not JSON", "not JSON", "dict", "commands", "proirity", "cannot be an argument"]
    await peer.assign(*(an_attempt(n, 1, python(f"print({line!r})")) for n, line in enumerate(lines, 1)))
    for number, why in enumerate(whys, 1):
        finished = await peer.finished(number)
        assert (finished.outcome, finished.cause) == (Outcome.FAILED, "hopeless"), lines[number - 1]
        assert finished.error is not None
        assert finished.error.startswith("::spawn: ")
        assert why in finished.error
    assert not [event for _, event in peer.events if isinstance(event, TaskSpawn)]


async def test_a_report_names_what_its_attempt_has_added(peer: Peer, start_agent: StartAgent) -> None:
    await start_agent()
    await peer.hear(WorkerOnline)
    line = '::spawn {"name": "tile", "kind": "echo", "commands": [{"name": "echo"}]}'
    await peer.assign(an_attempt(1, 1, python(f"print({line!r}); print({line!r})")))
    assert (await peer.finished(1)).added == [mark_of("tile")]
