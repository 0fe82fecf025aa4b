"""An agent and a coordinator of neighbouring releases: what the first release told its agents is obeyed today, and what
only the next release knows is passed over."""

import json
from typing import Any

from schemas.task import Outcome, TaskPromoted, TaskStarted
from schemas.worker import Duty, WorkerOnline, WorkerStateChanged
from tests.integration.agent.conftest import StartAgent
from tests.integration.agent.peer import Peer, an_attempt
from tests.support.recorded import recorded


async def tell(peer: Peer, *names: str, **more: Any) -> None:
    """Say what was recorded of *names* under the worker's epoch, *more* in the first command of each."""
    for name in names:
        _, said = recorded(name)
        commands = [command for command in said["commands"] if command["type"] == name]
        commands[0] |= more
        await peer.say_bytes(json.dumps(said | {"epoch": peer.epoch, "commands": commands}).encode())


async def test_todays_agent_obeys_what_the_first_release_told(peer: Peer, start_agent: StartAgent) -> None:
    await start_agent()
    await peer.hear(WorkerOnline)
    await tell(peer, "welcome", epoch=peer.epoch)
    await tell(peer, "assign")
    finished = await peer.finished(1)
    assert (finished.outcome, [one.name for one in finished.outputs]) == (Outcome.COMPLETED, ["frame.txt"])
    assert (await peer.hear(TaskPromoted, lambda event: event.task == 1)).path.endswith("shots/010")
    await peer.assign(an_attempt(6, 1, {"name": "sleep", "parameters": {"seconds": 600}}))  # type: ignore[arg-type]
    await peer.hear(TaskStarted, lambda event: event.task == 6)
    await tell(peer, "beat_ack", "revoke")
    assert (await peer.finished(6)).outcome is Outcome.CANCELED
    await tell(peer, "request_state")
    assert (await peer.hear(WorkerStateChanged)).duty is Duty.ASLEEP
    await tell(peer, "reset")
    assert (await peer.hear(WorkerOnline)).duty is Duty.ASLEEP


async def test_todays_agent_passes_over_what_only_the_next_release_knows(peer: Peer, start_agent: StartAgent) -> None:
    agent = await start_agent()
    await peer.hear(WorkerOnline)
    _, said = recorded("assign")
    (assign,) = (command for command in said["commands"] if command["type"] == "assign")
    del assign["attempts"][1:]
    assign["attempts"][0] |= {"flavour": "sweet", "commands": [{"name": "echo", "retry": {"never": True}}]}
    commands = [{"type": "sing"}, {"type": "request_state", "state": "hibernating"}, assign]
    await peer.say_bytes(json.dumps(said | {"v": 2, "epoch": peer.epoch, "hue": 1, "commands": commands}).encode())
    assert (await peer.finished(1)).outcome is Outcome.COMPLETED
    assert agent.unknown_commands == 2
