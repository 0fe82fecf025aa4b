"""What tasks leave behind: logs that never get in the way, outputs that are uploaded and promoted."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from schemas import topology
from schemas.task import Outcome, TaskLog, TaskOutput, TaskPromoted
from schemas.worker import WorkerOnline
from tests.integration.agent.conftest import NAME, Said, StartAgent, StartProcess
from tests.integration.agent.peer import Peer, an_attempt, python


@pytest.fixture
async def joined(peer: Peer, start_agent: StartAgent) -> Peer:
    """A coordinator with an agent."""
    await start_agent()
    await peer.hear(WorkerOnline)
    return peer


# --- logs --------------------------------------------------------------------------------------------------


async def test_a_nul_byte_and_bytes_that_are_no_text_are_shown_in_the_log(joined: Peer) -> None:
    await joined.assign(
        an_attempt(1, 1, python("import os; os.write(1, b'a\\0b\\xffc\\n'); os.write(2, b'and errors\\n')"))
    )
    text = await joined.log_of(1, "and errors\n")
    assert text == "a\N{SYMBOL FOR NULL}b\N{REPLACEMENT CHARACTER}c\nand errors\n"


async def test_log_is_sent_while_the_program_runs(joined: Peer) -> None:
    await joined.assign(an_attempt(1, 1, python("import signal; print('loading'); signal.pause()")))
    await joined.log_of(1, "loading\n")


#: Writes much more than is kept, and goes on until the file is there.
FLOOD = """
import itertools, os
for count in itertools.count():
    os.write(1, (b"x" * 99 + b"\\n") * 100)
    if count > 4000 and os.path.exists({enough!r}):
        break
"""


async def test_a_flood_of_log_ends_with_a_line_that_says_so_and_delays_no_report(joined: Peer, tmp_path: Path) -> None:
    enough = tmp_path / "enough"
    await joined.assign(an_attempt(1, 1, python(FLOOD.format(enough=str(enough)))))
    await joined.hear(TaskLog, lambda log: log.task == 1)
    await joined.assign(an_attempt(2))
    assert (await joined.finished(2)).outcome is Outcome.COMPLETED
    enough.touch()
    assert (await joined.finished(1)).outcome is Outcome.COMPLETED
    text = await joined.log_of(1, "log truncated")
    assert 15 * 2**20 < len(text) <= 16 * 2**20 + 100


NARROW = topology.Queue("test.narrow-logs", topology.LOGS.arguments | {"x-max-length-bytes": 1}, topology.LOGS.keys)


class NarrowPeer(Peer):
    """A coordinator whose queue of logs is full, until it is widened."""

    def queues(self) -> Iterable[topology.Queue]:
        return [NARROW if queue is topology.LOGS else queue for queue in topology.QUEUES]

    async def connect(self) -> None:
        await super().connect()
        await self.channel.queue_declare(topology.LOGS_QUEUE, durable=True, arguments=dict(topology.LOGS.arguments))
        for key in topology.LOGS.keys:
            await self.channel.queue_unbind(topology.LOGS_QUEUE, topology.EVENTS_EXCHANGE, key)

    async def widen(self) -> None:
        for key in topology.LOGS.keys:
            await self.channel.queue_bind(topology.LOGS_QUEUE, topology.EVENTS_EXCHANGE, key)
        await self.channel.queue_delete(NARROW.name)
        await self.channel.basic_consume(topology.LOGS_QUEUE, self.on_message)


async def test_refused_log_waits_in_the_spool_and_arrives_later(
    amqp_url: str, start_process: StartProcess, said: Said
) -> None:
    async with NarrowPeer(amqp_url, NAME) as peer:
        agent = start_process()
        await peer.hear(WorkerOnline)
        lines = "for n in range(3000): print('line', n, 'of many')"
        await peer.assign(an_attempt(1, 1, python(lines)), an_attempt(2))
        assert (await peer.finished(1)).outcome is Outcome.COMPLETED
        assert (await peer.finished(2)).outcome is Outcome.COMPLETED
        await said(agent, "logs wait in the spool")
        await peer.widen()
        assert (await peer.log_of(1, "line 2999 of many\n")).startswith("line 0 of many\nline 1 of many\n")


async def test_log_that_no_broker_took_is_sent_by_the_next_life(
    amqp_url: str, start_process: StartProcess, said: Said
) -> None:
    async with NarrowPeer(amqp_url, NAME) as peer:
        agent = start_process()
        await peer.hear(WorkerOnline)
        await peer.assign(*(an_attempt(task) for task in range(1, 6)))
        for task in range(1, 6):
            await peer.finished(task)
        await said(agent, "logs wait in the spool")
        await agent.kill()
        await peer.widen()
        start_process()
        for task in range(1, 6):
            await peer.log_of(task, f"hello {task}\n")


# --- outputs -----------------------------------------------------------------------------------------------


async def test_accepted_outputs_are_promoted_and_that_is_reported(joined: Peer, tmp_path: Path) -> None:
    code = "import os; os.mkdir('sub'); open('a.txt','w').write('one'); open('sub/b.txt','w').write('two')"
    await joined.assign(an_attempt(1, 1, python(code), promote="film/shot 7"))
    await joined.finished(1)
    promoted = await joined.hear(TaskPromoted)
    target = tmp_path / "published" / "film" / "shot 7"
    assert (promoted.task, promoted.attempt, promoted.path) == (1, 1, str(target))
    assert (target / "a.txt").read_text() == "one"
    assert (target / "sub" / "b.txt").read_text() == "two"
    assert sorted(path.name for path in target.rglob("*") if path.is_file()) == ["a.txt", "b.txt"]
    await joined.assign(an_attempt(2, 1, python("open('a.txt','w').write('newer')"), promote="film/shot 7"))
    await joined.hear(TaskPromoted)
    assert (target / "a.txt").read_text() == "newer"
    assert (tmp_path / "outputs/1/1/a.txt").read_text() == "one", "an attempt's directory is never changed"


async def test_a_failed_attempt_is_not_promoted(joined: Peer, tmp_path: Path) -> None:
    await joined.assign(an_attempt(1, 1, python("open('a','w'); raise SystemExit(1)"), promote="x"))
    await joined.finished(1)
    await joined.assign(an_attempt(2, 1, python("open('a','w')"), promote="y"))
    assert (await joined.hear(TaskPromoted)).task == 2
    assert not (tmp_path / "published" / "x").exists()


async def test_a_promotion_that_a_crash_interrupted_is_repeated(
    peer: Peer, start_process: StartProcess, tmp_path: Path, said: Said
) -> None:
    (tmp_path / "published").write_text("a file where the directory should be")
    agent = start_process()
    await peer.hear(WorkerOnline)
    await peer.assign(an_attempt(1, 1, python("open('a','w').write('one')"), promote="film"))
    await peer.finished(1)
    await said(agent, "promotion failed; trying again")
    await agent.kill()
    (tmp_path / "published").unlink()
    start_process()
    assert (await peer.hear(TaskPromoted)).task == 1
    assert (tmp_path / "published/film/a").read_text() == "one"


@dataclass
class Store:
    """What an HTTP server was sent: path -> (headers, body)."""

    port: int = 0
    status: str = "201 Created"
    requests: int = 0
    puts: dict[str, tuple[dict[str, str], bytes]] = field(default_factory=dict)


@asynccontextmanager
async def http_server() -> AsyncIterator[Store]:
    store = Store()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                request, *lines = head.decode().strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                store.requests += 1
                store.puts[request.split()[1]] = (headers, body)
                writer.write(f"HTTP/1.1 {store.status}\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    store.port = server.sockets[0].getsockname()[1]
    try:
        yield store
    finally:
        server.close()


async def test_wanted_outputs_are_sent_to_the_coordinator_with_their_digest(
    peer: Peer, start_agent: StartAgent
) -> None:
    async with http_server() as store:
        await start_agent(coordinator_url=f"http://127.0.0.1:{store.port}/farm", coordinator_token="a token")
        await peer.hear(WorkerOnline)
        code = (
            "import os; os.mkdir('s'); open('s/a b.png','wb').write(b'picture'); "
            "open('c.exr','wb').write(b'x'); print('::output s/a b.png')"
        )
        await peer.assign(an_attempt(4, 2, python(code), upload=["*.png"]))
        assert (await peer.hear(TaskOutput)).file.stored
        finished = await peer.finished(4, 2)
    assert {output.name: output.stored for output in finished.outputs} == {"s/a b.png": True, "c.exr": False}
    ((path, (headers, body)),) = store.puts.items()
    assert store.requests == 1, "what was shown before the end is not sent once more"
    assert path == "/farm/api/v1/tasks/4/attempts/2/outputs/s/a%20b.png"
    assert body == b"picture"
    digest = base64.b64encode(hashlib.sha256(b"picture").digest()).decode()
    assert headers["digest"] == f"sha-256={digest}"
    assert headers["x-farmhand-worker"] == NAME
    assert headers["authorization"] == "Bearer a token"
    assert headers["content-type"] == "image/png"


async def test_an_upload_that_is_refused_leaves_the_output_where_it_is_and_says_why(
    peer: Peer, start_agent: StartAgent
) -> None:
    async with http_server() as store:
        store.status = "413 Too Large"
        await start_agent(coordinator_url=f"http://127.0.0.1:{store.port}")
        await peer.hear(WorkerOnline)
        await peer.assign(an_attempt(1, 1, python("open('a.png','w')"), upload=["*"]))
        finished = await peer.finished(1)
        assert finished.outcome is Outcome.COMPLETED
        assert [output.stored for output in finished.outputs] == [False]
        assert "HTTP 413" in await peer.log_of(1, "was not uploaded")


async def test_no_task_can_write_outside_the_publish_root(joined: Peer, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "trap").symlink_to(outside)
    await joined.assign(an_attempt(1, 1, python("open('a','w')"), promote="trap"))
    await joined.assign(an_attempt(2, 1, python("open('a','w')"), promote="fine"))
    assert (await joined.hear(TaskPromoted)).task == 2
    assert list(outside.iterdir()) == []
