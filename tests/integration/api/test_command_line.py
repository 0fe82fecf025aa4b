"""The command line against a coordinator's API over real HTTP, on a real database."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from coordinator.api import create_app
from coordinator.api.door import Door
from coordinator.cli.program import run
from coordinator.operations import requests
from coordinator.storage.views import Views
from coordinator.telemetry import Telemetry
from tests.integration.api.conftest import Inbox
from tests.integration.api.rows import Rows


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The answer, line by line, with single blanks."""
        return [" ".join(line.split()) for line in self.out.splitlines()]

    @property
    def json(self) -> Any:
        """The answer to a program."""
        return json.loads(self.out)


ROOT = Path(__file__).parents[3]
NO_WORKERS = "The farm has no workers yet: start farmhand-agent on a machine."
Run = Callable[..., Coroutine[Any, Any, Done]]


@contextlib.asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """*app* on a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


@pytest.fixture
async def url(app: FastAPI) -> AsyncIterator[str]:
    """Where the API listens."""
    async with serving(app) as url:
        yield url


@pytest.fixture
def farmhand(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command."""
    monkeypatch.setenv("FARMHAND_URL", url)
    monkeypatch.setenv("FARMHAND_ACTOR", "ana@desk")

    async def call(*words: str) -> Done:
        code = await asyncio.to_thread(run, list(words))
        written = capsys.readouterr()
        return Done(code, written.out, written.err)

    return call


async def test_jobs_are_listed_and_shown(farmhand: Run, rows: Rows) -> None:
    assert (await farmhand("jobs")).err == "no jobs; submit one: farmhand submit -- echo hello\n"
    job = await rows.job("shot [bold]\x1b[31m", submitter="ana")
    await rows.tasks(job, ["completed", "failed", "ready"], queue="gpu")

    listed = await farmhand("jobs")
    shown = await farmhand("jobs", "show", str(job))

    assert listed.lines[1].startswith(f"{job} active 1/1000000 - 1 50 shot [bold]\\x1b[31m ana ")
    assert "tasks 1000000: 1 ready, 1 completed, 1 failed" in "\n".join(shown.lines)
    assert "1 task ready: The farm has no workers yet" in shown.err
    assert "task 2 (frame[1]) failed: no reason given" in shown.err
    assert [item["id"] for item in (await farmhand("jobs", "list", "--json")).json["items"]] == [job]
    assert (await farmhand("jobs", "show", str(job), "--json")).json["counts"]["failed"] == 1


async def test_lists_go_over_pages_and_say_when_there_is_more(farmhand: Run, rows: Rows) -> None:
    job = await rows.job()
    await rows.tasks(job, ["ready"] * 1005)

    whole = await farmhand("tasks", "--job", str(job), "--limit", "2000", "--json")
    some = await farmhand("tasks", "--job", str(job), "--limit", "3")

    assert [len(whole.json["items"]), whole.json["next"]] == [1005, None]
    assert (len(some.lines), some.err) == (4, "(the first 3; more with --limit)\n")


async def test_a_task_is_shown_with_why_it_waits_its_attempts_and_outputs(farmhand: Run, rows: Rows) -> None:
    job = await rows.job()
    ready, done = await rows.tasks(job, ["ready", "completed"])
    await rows.ended(done, "failed", exit_code=11, error="boom\nagain")
    await rows.ended(done, "completed", attempt=2)
    await rows.insert("outputs", task_id=done, attempt=2, name="a.png", size=2048, digest="0" * 64, stored=True)

    waiting = await farmhand("tasks", "show", str(ready))
    shown = await farmhand("tasks", "show", str(done))

    assert "waits The farm has no workers yet: start farmhand-agent on a machine." in waiting.lines
    assert any(line.startswith("1 node-1 failed - 11 ") and line.endswith("boom again") for line in shown.lines)
    assert "2 a.png 2.0 KiB - coordinator" in shown.lines


async def test_workers_and_queues_are_listed(farmhand: Run, rows: Rows) -> None:
    await rows.worker(stats={"cpu_percent": 61.6}, requested_state="drain", labels=["a100"])
    await rows.tasks(await rows.job(), ["ready"], queue="gpu")

    workers, queues = await farmhand("workers"), await farmhand("queues")

    assert workers.lines[1].startswith("node-1 online awake -> drain 0/4 62% - ")
    assert workers.lines[1].endswith("default exec a100 native - -")
    assert queues.lines == [
        "QUEUE WAITING RUNNING LIMIT OLDEST WORKERS PAUSED",
        "default 0 0 - - 0/1 -",
        queues.lines[2],
    ]
    assert "nobody serves queue gpu" in queues.err
    assert (await farmhand("workers", "show", "node-1", "--json")).json["labels"] == ["a100"]
    assert "machine node-1.lan" in (await farmhand("workers", "show", "node-1")).lines


async def test_changes_say_what_they_did_and_carry_who_and_why(farmhand: Run, inbox: Inbox) -> None:
    said = [
        (await farmhand("jobs", "cancel", "1", "2", "--reason", "late")).err,
        (await farmhand("workers", "drain", "node-1", "--now", "--reason", "fan")).err,
        (await farmhand("workers", "label", "node-1", "a100")).err,
        (await farmhand("parked", "drop", "3")).err,
    ]
    inbox.answer = requests.Changed(5, continues=True)
    said.append((await farmhand("jobs", "requeue", "1")).err)
    machine = await farmhand("tasks", "cancel", "7", "--json")

    assert said == [
        "job 1: 1 task canceled\njob 2: 1 task canceled\n",
        "worker node-1: asked for drain at once\n",
        "worker node-1: approved a100\n",
        "parked message 3: 1 message dropped\n",
        "job 1: 5 tasks requeued; the rest follows\n",
    ]
    assert machine.json == {"what": "task 7", "count": 5, "continues": True}
    assert {request.actor for request in inbox.asked} == {"ana@desk"}
    assert inbox.asked[0].reason == "late"
    assert (inbox.asked[2].state, inbox.asked[2].lazy, inbox.asked[2].reason) == ("drain", False, "fan")


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (requests.NotFoundError("there is no job 1"), 3),
        (requests.ConflictError("job 1 is finished"), 5),
        (requests.UnavailableError("the database is away"), 6),
        (requests.InvalidError("that is nothing"), 2),
        (requests.UnplaceableError("no worker ever offered kind x"), 8),
    ],
)
async def test_refusals_end_with_their_code(farmhand: Run, inbox: Inbox, refusal: Exception, code: int) -> None:
    inbox.answer = refusal

    assert await farmhand("jobs", "cancel", "1") == Done(code, "", f"farmhand: {refusal}\n")


async def test_logs_are_shown_harmless_followed_or_raw(farmhand: Run, rows: Rows) -> None:
    (task,) = await rows.tasks(await rows.job(), ["failed"])
    await rows.ended(task, "failed")
    await rows.log(task, (0, "10%\r20%\x1b[31m\n"), (1, "done\n"))

    assert (await farmhand("logs", str(task))).out == "10%\n20%\\x1b[31m\ndone\n"
    assert (await farmhand("logs", str(task), "--follow", "--raw")).out == "10%\r20%\x1b[31m\ndone\n"
    assert (await farmhand("logs", str(task), "--json")).json["live"] is False
    assert (await farmhand("logs", "99")).code == 3


async def test_stories_are_told(farmhand: Run, rows: Rows) -> None:
    await rows.worker()
    await rows.execute(
        "INSERT INTO history (at, event, worker_id, actor, detail)"
        " VALUES ('2026-03-01T12:00:00.25Z', 'worker.online', 'node-1', NULL, $1)",
        {"epoch": 1, "note": "a\nb"},
    )

    told = await farmhand("story", "worker", "node-1")

    assert told.lines[1].endswith("00.250 worker.online - node-1 - note=a b epoch=1")
    assert (await farmhand("story", "task", "9")).code == 3
    assert (await farmhand("story", "task", "x")).code == 2


async def test_parked_messages_are_listed_and_shown_harmless(farmhand: Run, rows: Rows) -> None:
    assert (await farmhand("parked")).err == "nothing is parked\n"
    number = await rows.parked(b'{"v": "\x1b[31m\xff"}')

    listed, shown = await farmhand("parked"), await farmhand("parked", "show", str(number))

    assert listed.lines[1].endswith("invalid ev.node-1 15 B events.0 wrong")
    assert shown.lines[-1] == '{"v": "\\x1b[31m\ufffd"}'


async def test_a_job_is_submitted_and_its_number_is_the_answer(farmhand: Run, inbox: Inbox, tmp_path: Path) -> None:
    inbox.answer = requests.Submitted(7, created=True, tasks=3)
    path = tmp_path / "a.yaml"
    path.write_text("tasks: [{name: t, kind: exec, commands: [{name: exec}]}]\n")

    done = await farmhand("submit", "--count", "3", "--", "render", "{{index}}")
    machine = await farmhand("submit", str(path), "--json")

    assert done == Done(0, "7\n", "job 7 submitted: 3 tasks; watch it: farmhand jobs wait 7\n")
    assert machine.json == {"job": 7, "created": True, "tasks": 3}
    assert inbox.asked[0].spec.tasks[0].commands[0].parameters == {"argv": ["render", "{{index}}"]}
    assert [request.spec.name for request in inbox.asked] == ["render", "a"]


@pytest.mark.parametrize(("state", "code"), [("completed", 0), ("failed", 1), ("canceled", 1)])
async def test_waiting_ends_with_the_jobs_outcome(
    farmhand: Run, rows: Rows, inbox: Inbox, url: str, state: str, code: int
) -> None:
    job = await rows.job(total=1)
    (task,) = await rows.tasks(job, ["running"])
    await rows.attempt(task)
    inbox.answer = requests.Submitted(job, created=True, tasks=1)

    waiting = asyncio.create_task(farmhand("submit", "--wait", "--", "true"))
    await _asked(url, inbox)
    await rows.execute("UPDATE tasks SET state = $1, accepted_attempt = CASE WHEN $1 = 'completed' THEN 1 END", state)
    await rows.execute(f"UPDATE jobs SET n_running = 0, n_{state} = 1, state = $1, finished_at = now()", state)
    done = await waiting

    assert done.code == code
    assert done.out.startswith(f"job {job} {state}: ")


async def _asked(url: str, inbox: Inbox) -> None:
    """Return when the writer was asked something."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        while not inbox.asked:
            await client.get("/healthz")


async def test_waiting_gives_up_in_time_and_the_job_goes_on(farmhand: Run, rows: Rows) -> None:
    job = await rows.job(total=2)
    await rows.tasks(job, ["ready", "running"], queue="gpu")

    done = await farmhand("jobs", "wait", str(job), "--timeout", "0s")

    assert (done.code, done.out) == (7, "")
    assert done.err.splitlines() == [
        f"job {job}: 0 of 2 completed, 1 running, 1 task waiting: {NO_WORKERS}",
        f"job {job} goes on; wait again: farmhand jobs wait {job}",
    ]


async def test_a_fault_that_only_the_farm_finds_has_its_line_too(
    farmhand: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("priority: 3\ntasks: [{name: t, kind: exec, commands: [{name: exec}]}]\n")
    # A coordinator one version down, which knows no such priority.
    monkeypatch.setattr("coordinator.api.bodies.decode", _refuse)

    done = await farmhand("submit", str(path))

    assert done == Done(2, "", f"farmhand: {path}:1: priority: is not known here\n")


def _refuse(*_: object, **__: object) -> None:
    from schemas.base import UndecodableError  # noqa: PLC0415

    raise UndecodableError("invalid", "priority", "is not known here")


async def test_a_token_is_asked_for_and_read_from_its_file(
    views: Views, inbox: Inbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(
        views=views, ask=inbox.ask, health=list, telemetry=Telemetry("1"), blobs=tmp_path, version="1",
        coordinator="c1", door=Door(bootstrap="hush"),
    )  # fmt: skip
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    async with serving(app) as url:
        refused = await asyncio.to_thread(run, ["jobs", "--url", url])
        said = capsys.readouterr().err
        (tmp_path / "token").write_text("hush\n")
        monkeypatch.setenv("FARMHAND_API_TOKEN_FILE", str(tmp_path / "token"))
        allowed = await asyncio.to_thread(run, ["jobs", "--url", url])

    assert (refused, said, allowed) == (4, "farmhand: an API token is needed: set FARMHAND_API_TOKEN\n", 0)


async def test_a_body_beyond_the_limit_is_told_over_real_http(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        answer = await client.post(
            "/api/v1/jobs/1/cancel", content=b" " * 5_000_000, headers={"Content-Type": "application/json"}
        )

    assert answer.status_code == 413


async def test_the_terminal_gets_a_bar(rows: Rows, farmhand: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await rows.job(total=1)
    await rows.tasks(job, ["completed"])
    await rows.execute("UPDATE jobs SET state = 'completed', finished_at = now()")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    done = await farmhand("jobs", "wait", str(job))

    assert done.code == 0
    assert "1/1" in done.err
    assert done.out.startswith(f"job {job} completed: 1 of 1 task completed in ")


async def test_an_interrupted_wait_leaves_the_job_alone_and_says_how_to_end_it(
    rows: Rows, url: str, inbox: Inbox
) -> None:
    job = await rows.job(total=1)
    await rows.tasks(job, ["running"])
    # As from a terminal: a process that is started in the background would not hear of it.
    hears = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    script = f"{hears}; from coordinator.cli import main; main(['jobs', 'wait', '{job}', '--url', '{url}'])"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stderr=PIPE, cwd=ROOT)
    assert process.stderr is not None
    assert await process.stderr.readline() == f"job {job}: 0 of 1 completed, 1 running\n".encode()

    process.send_signal(signal.SIGINT)
    _, said = await process.communicate()

    assert said.decode() == f"job {job} goes on; cancel it: farmhand jobs cancel {job}\n"
    assert process.returncode == 130
    assert inbox.asked == []
