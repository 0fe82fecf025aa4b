"""Secrets on a real agent with real programs: the program has them, nobody else ever hears of them."""

import base64
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.task import Command, Outcome, SecretRef, TaskOutput, TaskProgress
from schemas.worker import WorkerOnline
from tests.integration.agent.conftest import StartAgent
from tests.integration.agent.peer import Peer, an_attempt, python

VALUE = "hunter2-and-more"
KEY = {"KEY": SecretRef(secret="s3-key")}


@pytest.fixture
async def joined(peer: Peer, start_agent: StartAgent, tmp_path: Path) -> Peer:
    """A coordinator with an agent that has a secret."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "s3-key").write_text(VALUE + "\n")
    (tmp_path / "secrets" / "s3-key").chmod(0o600)
    await start_agent(secrets_dir=tmp_path / "secrets", secret_readers=["s3-*:exec"])
    await peer.hear(WorkerOnline)
    return peer


@pytest.fixture
def told(joined: Peer) -> Callable[[], bool]:
    """Whether the agent has ever said the secret, in anything."""
    return lambda: any(VALUE.encode() in message.body for message in joined.deliveries)


async def test_an_agent_says_which_secrets_it_has_and_notices_new_ones(
    peer: Peer, start_agent: StartAgent, tmp_path: Path
) -> None:
    directory = tmp_path / "secrets"
    directory.mkdir()
    (directory / "s3-key").write_text(VALUE)
    await start_agent(secrets_dir=directory, secret_readers=["s3-*:exec", "ftp:nuke"])
    online = await peer.hear(WorkerOnline)
    assert online.secrets == ["s3-key"]
    assert {"exec", "python", "echo"} <= set(online.runners or ())
    assert online.enforces == ["memory_mb", "nice", "oom_score", "idle_io"]
    (directory / "ftp").write_text("for a kind that it does not offer")
    (directory / "s3-other").write_text(VALUE)
    assert (await peer.hear(WorkerOnline)).secrets == ["s3-key", "s3-other"]


async def test_a_program_has_the_secret_and_nobody_hears_of_it(joined: Peer, told: Callable[[], bool]) -> None:
    code = """
import base64, os, sys
key = os.environ["KEY"]
assert key == os.environ["ALSO"]
print("::activity using", key, flush=True)
for piece in ("the key is ", key[:5], key[5:9], key[9:], ", twice ", key, key, "\\n"):
    sys.stdout.write(piece); sys.stdout.flush()
print("::result", '{"key": ["' + key + '"], "proof": "' + base64.b64encode(key.encode()).decode() + '"}')
open("log.txt", "w").write(key)
print("::output log.txt", flush=True)
print("end")
"""
    command = python(code, env={"ALSO": {"secret": "s3-key"}})
    await joined.assign(an_attempt(1, 1, command, environment=KEY))
    finished = await joined.finished(1)
    assert finished.outcome is Outcome.COMPLETED, finished.error
    assert finished.result == {"key": ["***"], "proof": base64.b64encode(VALUE.encode()).decode()}
    assert await joined.log_of(1, "end\n") == "the key is ***, twice ******\nend\n"
    await joined.hear(TaskProgress, lambda event: event.activity == "using ***")
    await joined.hear(TaskOutput)
    assert not told()


async def test_errors_and_the_names_of_outputs_tell_no_secret(joined: Peer, told: Callable[[], bool]) -> None:
    function = Command(name="python", parameters={"callable": "os:chdir", "args": [f"/{VALUE}"]})
    await joined.assign(
        an_attempt(1, 1, function, environment=KEY),
        an_attempt(2, 1, python("import os; open(os.environ['KEY'], 'w')"), environment=KEY),
        an_attempt(3, 1, Command(name="exec", parameters={"argv": [f"/{VALUE}"]}), environment=KEY),
    )
    assert "FileNotFoundError" in str((await joined.finished(1)).error)
    assert (await joined.finished(2)).error == "the name of an output holds a secret: rename the file"
    assert "cannot start '/***'" in str((await joined.finished(3)).error)
    assert not told()


@pytest.mark.parametrize(
    ("secret", "kind", "words"),
    [
        ("missing", "exec", "may not read"),
        ("s3-none", "exec", "this worker has no secret 's3-none'"),
        ("s3-key", "render", "tasks of kind 'render' may not read the secret 's3-key'"),
    ],
)
async def test_without_its_secret_nothing_of_a_task_is_started(
    joined: Peer, tmp_path: Path, secret: str, kind: str, words: str
) -> None:
    echo = Command(name="echo", parameters={"message": "started"})
    touch = python(f"open({str(tmp_path / 'started')!r}, 'w')")
    environment = {"KEY": SecretRef(secret=secret)}
    await joined.assign(an_attempt(1, 1, echo, touch, environment=environment, kind=kind))
    finished = await joined.finished(1)
    assert (finished.outcome, finished.cause) == (Outcome.FAILED, "unavailable")
    assert finished.error is not None
    assert words in finished.error
    assert "command" not in finished.error
    assert set(os.listdir(tmp_path)) <= {"secrets", "data"}  # noqa: PTH208
    assert not joined.logs[1]


async def test_a_secret_that_is_open_to_others_is_not_used(joined: Peer, tmp_path: Path) -> None:
    (tmp_path / "secrets" / "s3-key").chmod(0o644)
    await joined.assign(an_attempt(1, 1, python("print('x')"), environment=KEY))
    assert "open to others (mode 0644)" in str((await joined.finished(1)).error)


async def test_a_command_without_processes_waits_for_its_secret_too(joined: Peer, told: Callable[[], bool]) -> None:
    echo = Command(name="echo", parameters={"message": f"it is {VALUE}"})
    await joined.assign(an_attempt(1, 1, echo, environment=KEY))
    assert (await joined.finished(1)).outcome is Outcome.COMPLETED
    assert await joined.log_of(1, "\n") == "it is ***\n"
    assert not told()


async def test_what_is_no_text_and_no_reference_is_refused(joined: Peer) -> None:
    wrong = Command(name="exec", parameters={"argv": [sys.executable], "env": {"A": 1}})
    await joined.assign(an_attempt(1, 1, wrong))
    assert "must be a text, or {secret: NAME}" in str((await joined.finished(1)).error)
