"""How an agent comes, what it says of itself, and how it is turned away."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiormq
import pytest

from schemas import topology
from schemas.envelope import decode_from_worker
from schemas.task import Outcome, TaskLog, TaskStarted
from schemas.worker import Duty, RequestedState, WorkerHeartbeat, WorkerOffline, WorkerOnline, WorkerStateChanged
from tests.integration.agent.conftest import NAME, Said, StartAgent, StartProcess
from tests.integration.agent.peer import Peer, an_attempt, python
from worker_agent.config import Settings

QUEUE = topology.worker_queue(NAME)


async def test_an_agent_joins_beats_runs_a_task_and_forgets_it_at_the_verdict(
    peer: Peer, start_agent: StartAgent
) -> None:
    await start_agent()
    envelope, online = await peer.hear_with_envelope(WorkerOnline)
    assert (envelope.worker, envelope.epoch) == (NAME, 0)
    declared = await peer.channel.queue_declare(QUEUE.name, passive=True)
    assert declared.consumer_count == 1, "its queue is consumed before it says that it is online"
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


async def test_messages_carry_what_the_broker_can_vouch_for(peer: Peer, start_agent: StartAgent) -> None:
    await start_agent()
    await peer.hear(WorkerOnline)
    await peer.assign(an_attempt(1))
    await peer.finished(1)
    await peer.hear(TaskLog)
    await peer.hear(WorkerHeartbeat)
    user = urlsplit(peer.amqp_url).username
    ids = set()
    for message in peer.deliveries:
        properties = message.header.properties
        assert (properties.user_id, properties.content_type) == (user, "application/json")
        assert properties.timestamp is not None
        beat = message.routing_key == topology.heartbeat_key(NAME)
        assert properties.delivery_mode == (1 if beat else 2)
        ids.add(properties.message_id)
    assert len(ids) == len(peer.deliveries)
    sequence = [decode_from_worker(message.body)[0].seq for message in peer.deliveries]
    assert len(set(sequence)) == len(sequence), "the sequence number grows with every envelope"


async def test_a_command_of_an_unknown_type_is_ignored_and_the_rest_of_its_message_is_not(
    peer: Peer, start_agent: StartAgent
) -> None:
    agent = await start_agent()
    await peer.hear(WorkerOnline)
    await peer.say_bytes(b"this is no message")
    await peer.say_bytes(
        b'{"worker":"%b","epoch":1,"commands":[{"type":"dance"},{"type":"request_state","state":"drain"}]}'
        % NAME.encode()
    )
    await peer.hear(WorkerStateChanged, lambda change: change.duty is Duty.DRAINING)
    assert agent.unknown_commands == 1


async def never(_: object) -> None:
    raise AssertionError("nobody writes to this consumer")


async def test_an_agent_waits_for_its_queue_and_says_so(peer: Peer, start_process: StartProcess, said: Said) -> None:
    other = await aiormq.connect(peer.amqp_url)
    channel = await other.channel()
    await channel.queue_declare(QUEUE.name, durable=True, arguments=dict(QUEUE.arguments))
    await channel.basic_consume(QUEUE.name, never, exclusive=True)
    agent = start_process()
    await said(agent, "another agent consumes this worker's queue")
    await other.close()
    await peer.hear(WorkerOnline)


async def test_an_agent_gives_up_when_another_one_holds_its_identity(
    peer: Peer, start_process: StartProcess, tmp_path: Path
) -> None:
    start_process()
    await peer.hear(WorkerOnline)
    settings = tmp_path / "agent.toml"
    settings.write_text("identity_wait_s = 1\n")
    second = start_process("--config", str(settings), "--data-dir", str(tmp_path / "other"))
    assert await second.wait() == 4
    assert "another agent holds this identity" in second.said().splitlines()[-1]


async def test_wrong_credentials_are_said_in_one_line(start_process: StartProcess, amqp_url: str) -> None:
    parts = urlsplit(amqp_url)
    agent = start_process(url=f"amqp://nobody:secret-word@{parts.hostname}:{parts.port}{parts.path}")
    assert await agent.wait() == 3
    (line,) = agent.said().splitlines()
    assert "refuses user 'nobody'" in line
    assert "secret-word" not in line


async def test_a_virtual_host_that_is_not_there_is_said_in_one_line(start_process: StartProcess, amqp_url: str) -> None:
    agent = start_process(url=amqp_url.rsplit("/", 1)[0] + "/no-such-farm")
    assert await agent.wait() == 3
    (line,) = agent.said().splitlines()
    assert "no virtual host" in line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--slots", "501"], "slots: Input should be less than or equal to 500"),
        (["--worker", "Node.1"], "worker: "),
        (["--tag", "two words"], "tags.0: "),
        (["--config", "/no/such/file.toml"], "cannot read /no/such/file.toml"),
    ],
)
async def test_wrong_settings_are_said_in_one_line_that_names_the_field(
    start_process: StartProcess, options: list[str], words: str
) -> None:
    agent = start_process(*options)
    assert await agent.wait() == 2
    (line,) = agent.said().splitlines()
    assert words in line


async def test_a_second_agent_on_the_same_data_directory_is_refused(peer: Peer, start_process: StartProcess) -> None:
    start_process()
    await peer.hear(WorkerOnline)
    second = start_process("--worker", "node-2")
    assert await second.wait() == 5
    assert "in use by another agent" in second.said()


async def test_sighup_reads_the_settings_again_in_the_same_life(
    peer: Peer, start_process: StartProcess, tmp_path: Path, said: Said
) -> None:
    settings = tmp_path / "agent.toml"
    settings.write_text('tags = ["slow"]\n')
    agent = start_process("--config", str(settings))
    first, online = await peer.hear_with_envelope(WorkerOnline)
    assert online.tags == ["slow"]
    settings.write_text('tags = ["fast"]\nqueues = ["a", "b"]\n')
    agent.signal(signal.SIGHUP)
    second, online = await peer.hear_with_envelope(WorkerOnline)
    assert (online.tags, online.queues) == (["fast"], ["a", "b"])
    assert second.instance == first.instance
    settings.write_text("tags = 7\n")
    agent.signal(signal.SIGHUP)
    await said(agent, "settings not reloaded")
    await peer.assign(an_attempt(1))
    assert (await peer.finished(1)).outcome is Outcome.COMPLETED


async def test_an_agent_that_is_asked_to_go_offline_ends_well(peer: Peer, start_process: StartProcess) -> None:
    agent = start_process()
    await peer.hear(WorkerOnline)
    await peer.request(RequestedState.OFFLINE)
    goodbye = await peer.hear(WorkerOffline)
    assert goodbye.reason == "the test says so"
    assert await agent.wait() == 0


async def test_an_agent_that_was_asked_to_stop_stays_when_it_is_asked_to_be_awake_before_it_has(
    peer: Peer, start_process: StartProcess, tmp_path: Path
) -> None:
    start_process()
    await peer.hear(WorkerOnline)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    await peer.assign(an_attempt(1, 1, python(f"open({str(gate)!r}).read()")))
    await peer.hear(TaskStarted)
    await peer.request(RequestedState.OFFLINE)
    await peer.hear(WorkerStateChanged, lambda said: said.duty is Duty.DRAINING)
    await peer.request(RequestedState.AWAKE)
    await peer.hear(WorkerStateChanged, lambda said: said.duty is Duty.AWAKE)
    await asyncio.to_thread(gate.write_text, "on")
    await peer.assign(an_attempt(2, 1))
    assert (await peer.finished(1)).outcome is Outcome.COMPLETED
    assert (await peer.finished(2)).outcome is Outcome.COMPLETED


async def test_an_agent_that_is_asked_to_restart_says_so_by_its_exit_code(
    peer: Peer, start_process: StartProcess
) -> None:
    agent = start_process("--can-restart")
    assert (await peer.hear(WorkerOnline)).can_restart
    await peer.request(RequestedState.RESTART)
    assert await agent.wait() == 10


async def test_the_settings_come_from_flags_environment_and_file_in_this_order(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARMHAND_AGENT_QUEUES", "urgent, default")
    monkeypatch.setenv("FARMHAND_AGENT_SLOTS", "7")
    made = settings()
    assert made.queues == ["urgent", "default"]
    assert made.slots == 4, "said by a flag"
    assert "hush-hush" not in str(settings(amqp_url="amqp://me:hush-hush@host/").shown())
    assert os.environ["FARMHAND_AGENT_SLOTS"] == "7"
