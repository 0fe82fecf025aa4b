"""What an agent makes of tasks: programs, functions, their words, their outputs, and how they are stopped."""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path

import psutil
import pytest

from schemas.task import Cause, Command, Input, Outcome, Phase, TaskOutput, TaskProgress, TaskStarted, Verdict
from schemas.worker import WorkerHeartbeat, WorkerOnline
from tests.integration.agent.conftest import StartAgent
from tests.integration.agent.peer import Peer, an_attempt, python
from tests.support.processes import wait_gone


@pytest.fixture
async def joined(peer: Peer, start_agent: StartAgent) -> Peer:
    """A coordinator with an agent."""
    await start_agent()
    await peer.hear(WorkerOnline)
    return peer


async def test_a_program_runs_in_its_directory_and_its_files_are_reported(joined: Peer, tmp_path: Path) -> None:
    code = "import os; os.mkdir('sub'); open('sub/a.txt','w').write('abc'); print(os.getcwd())"
    await joined.assign(an_attempt(3, 2, python(code)))
    started = await joined.hear(TaskStarted)
    assert (started.task, started.attempt) == (3, 2)
    finished = await joined.finished(3, 2)
    assert (finished.outcome, finished.exit_code, finished.error) == (Outcome.COMPLETED, 0, None)
    (output,) = finished.outputs
    assert (output.name, output.size, output.media_type, output.stored) == ("sub/a.txt", 3, "text/plain", False)
    assert output.digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (await joined.log_of(3, "\n")).strip() == str(tmp_path / "outputs" / "3" / "2")


async def test_a_program_sees_what_it_needs_and_no_secrets(joined: Peer, tmp_path: Path) -> None:
    os.environ["FARMHAND_AGENT_AMQP_URL"] = joined.amqp_url
    os.environ["SOME_TOKEN"] = "hidden"
    try:
        attempt = an_attempt(
            5,
            1,
            python("import json,os; print('::result', json.dumps(dict(os.environ)))"),
            environment={"SHOT": "12"},
            inputs=[Input(name="frames", first=2, attempts=[1, 3]), Input(name="sky", first=9, attempts=[4])],
        )
        await joined.assign(attempt)
        finished = await joined.finished(5)
    finally:
        del os.environ["FARMHAND_AGENT_AMQP_URL"], os.environ["SOME_TOKEN"]
    seen = finished.result
    assert isinstance(seen, dict)
    root = tmp_path / "outputs"
    frames, sky = [str(root / "2" / "1"), str(root / "3" / "3")], [str(root / "9" / "4")]
    assert (seen["FARMHAND_TASK"], seen["FARMHAND_ATTEMPT"], seen["FARMHAND_JOB"]) == ("5", "1", "1")
    assert seen["FARMHAND_OUTPUT"] == str(root / "5" / "1")
    assert seen["FARMHAND_INPUTS"] == os.pathsep.join(frames + sky)
    assert json.loads(str(seen["FARMHAND_INPUTS_JSON"])) == {"frames": frames, "sky": sky}
    assert (seen["SHOT"], seen["PATH"]) == ("12", os.environ["PATH"])
    assert "SOME_TOKEN" not in seen
    assert joined.amqp_url not in str(seen)


async def test_more_inputs_than_a_variable_holds_come_in_a_file(joined: Peer) -> None:
    code = "import json,os; n=json.load(open(os.environ['FARMHAND_INPUTS_FILE'])); print('::result', len(n['all']))"
    await joined.assign(an_attempt(1, 1, python(code), inputs=[Input(name="all", first=1, attempts=[1] * 8000)]))
    assert (await joined.finished(1)).result == 8000


async def test_commands_run_in_order_and_the_first_failure_ends_the_task(joined: Peer) -> None:
    await joined.assign(
        an_attempt(1, 1, python("print('first')"), python("raise SystemExit(3)"), python("print('third')"))
    )
    finished = await joined.finished(1)
    assert (finished.outcome, finished.exit_code) == (Outcome.FAILED, 3)
    assert finished.error is not None
    assert finished.error.startswith("command 2 of 3 (exec): ")
    assert "exit code 3" in finished.error
    assert "third" not in await joined.log_of(1, "first\n")


async def test_progress_is_reported_and_shown_in_heartbeats(joined: Peer) -> None:
    code = "print('::progress 3/10 painting'); print('::activity the sky'); import signal; signal.pause()"
    await joined.assign(an_attempt(1, 1, Command(name="echo", parameters={"message": "x"}, steps=2), python(code)))
    progress = await joined.hear(TaskProgress, lambda event: event.activity == "the sky")
    assert (progress.done, progress.total) == (5, 12)
    beat = await joined.hear(WorkerHeartbeat, lambda beat: any(held.done == 5 for held in beat.holds))
    assert beat.holds[0].phase is Phase.RUNNING


async def test_a_program_that_prints_progress_in_its_own_words_is_understood(joined: Peer) -> None:
    code = "import signal; print('frame 7 of 40', flush=True); signal.pause()"
    await joined.assign(an_attempt(1, 1, python(code, progress=r"frame (?P<done>\d+) of (?P<total>\d+)")))
    progress = await joined.hear(TaskProgress)
    assert (progress.done, progress.total) == (7, 40)
    assert "frame 7 of 40" in await joined.log_of(1, "40\n"), "such a line is also log"


async def test_a_preview_is_announced_before_the_end(joined: Peer, tmp_path: Path) -> None:
    code = (
        "open('p.png','wb').write(b'x'); print('::output p.png'); print('::output missing'); "
        "import signal; signal.pause()"
    )
    await joined.assign(an_attempt(1, 1, python(code)))
    output = await joined.hear(TaskOutput)
    assert (output.file.name, output.file.media_type) == ("p.png", "image/png")
    assert output.location == str(tmp_path / "outputs" / "1" / "1" / "p.png")
    assert "cannot be shown" in await joined.log_of(1, "missing")


async def test_a_function_is_called_and_its_value_is_the_result(joined: Peer) -> None:
    command = Command(name="python", parameters={"callable": "math:hypot", "args": [3, 4]})
    await joined.assign(an_attempt(1, 1, command))
    assert (await joined.finished(1)).result == 5.0


async def test_want_of_memory_is_reported_as_the_cause_of_the_failure(joined: Peer) -> None:
    command = Command(name="python", parameters={"callable": "operator:mul", "args": ["x", 2**62]})
    await joined.assign(an_attempt(1, 1, command))

    report = await joined.finished(1)

    assert report.outcome is Outcome.FAILED
    assert report.cause == Cause.MEMORY


async def test_a_function_that_raises_fails_with_its_words_and_its_traceback_in_the_log(joined: Peer) -> None:
    command = Command(name="python", parameters={"callable": "json:loads", "args": ["{"]})
    await joined.assign(an_attempt(1, 1, command))
    finished = await joined.finished(1)
    assert (finished.outcome, finished.exit_code) == (Outcome.FAILED, 1)
    assert "JSONDecodeError: Expecting property name" in (finished.error or "")
    assert "Traceback" in await joined.log_of(1, "JSONDecodeError")


async def test_the_child_of_a_function_imports_none_of_our_packages(joined: Peer) -> None:
    command = Command(
        name="python",
        parameters={
            "callable": "builtins:eval",
            "args": [
                "[m for m in __import__('sys').modules if m.split('.')[0] in ('schemas', 'worker_agent', 'pydantic')]"
            ],
        },
    )
    await joined.assign(an_attempt(1, 1, command))
    assert (await joined.finished(1)).result == []


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (Command(name="python", parameters={"callable": "no.such:thing"}), "No module named"),
        (Command(name="python", parameters={"callable": "math"}), "not of the form"),
        (
            Command(name="python", parameters={"callable": "math:sin", "arguments": [1]}),
            "unknown parameter 'arguments'",
        ),
        (Command(name="python", parameters={"callable": "builtins:float", "args": ["nan"]}), "Out of range float"),
        (Command(name="python", parameters={"callable": "builtins:set"}), "not JSON serializable"),
        (Command(name="python", parameters={"callable": "builtins:chr", "args": [0]}), "NUL"),
        (Command(name="python", parameters={"callable": "os:_exit", "args": [7]}), "exit code 7"),
        (Command(name="python", parameters={"callable": "os:abort"}), "SIGABRT"),
        (
            Command(name="python", parameters={"callable": "builtins:eval", "args": ["'x' * 70000"]}),
            "write large results",
        ),
        (Command(name="exec", parameters={"argv": ["no-such-program"]}), "no program 'no-such-program'"),
        (Command(name="exec", parameters={"argv": []}), "must name a program"),
        (Command(name="exec", parameters={"argv": "ls -l"}), "must be a list of strings"),
        (Command(name="exec", parameters={"argv": ["true"], "cwd": "../.."}), "below the attempt's directory"),
        (Command(name="exec", parameters={"argv": ["true"], "progress": "("}), "not a regular expression"),
        (Command(name="dance"), "no runner 'dance'; it has: blender-render, copy-file, echo, exec"),
        (Command(name="sleep", parameters={"seconds": -1}), "must be a number"),
        (Command(name="echo", parameters={"mesage": "x"}), "unknown parameter 'mesage'"),
        (python("print('::result ' + '\"x\"' * 1 ); print('::result [' + '1,' * 40000 + '1]')"), "archive"),
        (python("import os\nfor n in range(201): open(f'f{n}', 'w')"), "more than 200 output files"),
        (python("open('x\\udcff', 'w')"), "not UTF-8"),
    ],
)
async def test_what_cannot_be_done_fails_in_one_line_that_says_what(joined: Peer, command: Command, words: str) -> None:
    await joined.assign(an_attempt(1, 1, command))
    finished = await joined.finished(1)
    assert finished.outcome is Outcome.FAILED
    assert words in (finished.error or "")


async def test_symbolic_links_are_no_outputs(joined: Peer) -> None:
    await joined.assign(an_attempt(1, 1, python("import os; open('a','w'); os.symlink('/etc/passwd', 'b')")))
    assert [output.name for output in (await joined.finished(1)).outputs] == ["a"]


async def test_only_what_the_operator_allows_is_started(peer: Peer, start_agent: StartAgent) -> None:
    await start_agent(executables=["echo", sys.executable], callables=["math:*"])
    await peer.hear(WorkerOnline)
    forbidden = Command(name="python", parameters={"callable": "os:getcwd"})
    inside = Command(name="python", parameters={"callable": "math:sqrt.__self__.sqrt", "args": [4]})
    detour = Command(name="exec", parameters={"argv": [f"{sys.executable}/../../../bin/ls"]})
    other_path = Command(name="exec", parameters={"argv": ["echo"], "env": {"PATH": "."}})
    preloaded = Command(name="exec", parameters={"argv": ["echo"], "env": {"LD_PRELOAD": "x.so"}})
    await peer.assign(
        an_attempt(1, 1, Command(name="exec", parameters={"argv": ["ls"]})),
        an_attempt(2, 1, python("pass")),
        an_attempt(3, 1, Command(name="exec", parameters={"argv": ["echo", "hello"]})),
        an_attempt(4, 1, forbidden),
    )
    refused = await peer.finished(1)
    assert "'ls' is not among the executables that this worker may start" in (refused.error or "")
    assert (await peer.finished(2)).outcome is Outcome.COMPLETED
    assert (await peer.finished(3)).outcome is Outcome.COMPLETED
    assert "'os:getcwd' is not among the callables" in ((await peer.finished(4)).error or "")
    commands = {5: inside, 6: detour, 7: other_path, 8: preloaded}
    await peer.assign(*(an_attempt(task, 1, command) for task, command in commands.items()))
    assert "is not among the callables" in ((await peer.finished(5)).error or "")
    assert "is not among the executables" in ((await peer.finished(6)).error or "")
    assert "may not set PATH" in ((await peer.finished(7)).error or "")
    assert "may not set LD_PRELOAD" in ((await peer.finished(8)).error or "")


async def test_light_functions_run_in_the_agent_where_the_operator_allows_it(
    peer: Peer, start_agent: StartAgent
) -> None:
    await start_agent(callables_inside=["asyncio:sleep", "math:*"])
    await peer.hear(WorkerOnline)
    light = Command(name="python", parameters={"callable": "asyncio:sleep", "args": [0, "slept"]})
    heavy = Command(name="python", parameters={"callable": "math:sqrt", "args": [4]})
    await peer.assign(an_attempt(1, 1, light), an_attempt(2, 1, heavy))
    assert (await peer.finished(1)).result == "slept"
    assert "only as an async function" in ((await peer.finished(2)).error or "")


async def test_a_revoked_program_is_asked_to_end_first(joined: Peer) -> None:
    code = (
        "import signal,sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('tidying up', flush=True), sys.exit(0)))\n"
        "print('::progress 1/2', flush=True); signal.pause()"
    )
    await joined.assign(an_attempt(1, 1, python(code)))
    await joined.hear(TaskProgress)
    await joined.revoke(1, grace_s=30)
    finished = await joined.finished(1)
    assert (finished.outcome, finished.error) == (Outcome.CANCELED, "test")
    await joined.log_of(1, "tidying up")


async def test_a_program_that_does_not_end_is_killed_with_all_that_it_started(joined: Peer) -> None:
    code = (
        "import os,signal,subprocess,sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "print(f'::progress {child.pid}/{10**9} x', flush=True); signal.pause()"
    )
    await joined.assign(an_attempt(1, 1, python(code)))
    grandchild = psutil.Process((await joined.hear(TaskProgress)).done)
    await joined.revoke(1, grace_s=0.1)
    assert (await joined.finished(1)).outcome is Outcome.CANCELED
    wait_gone([grandchild])


async def test_a_program_that_leaves_a_child_behind_ends_with_it(joined: Peer) -> None:
    code = (
        "import subprocess,sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "print('::result', child.pid)"
    )
    await joined.assign(an_attempt(1, 1, python(code)))
    finished = await joined.finished(1)
    assert isinstance(finished.result, int)
    with contextlib.suppress(psutil.NoSuchProcess):
        wait_gone([psutil.Process(finished.result)])


async def test_a_superseded_attempt_leaves_no_files(peer: Peer, start_agent: StartAgent, tmp_path: Path) -> None:
    agent = await start_agent()
    await peer.hear(WorkerOnline)
    peer.judges = False
    await peer.assign(an_attempt(1, 1, python("open('a','w')")))
    await peer.finished(1)
    assert (tmp_path / "outputs/1/1/a").exists()
    await peer.judge(1, Verdict.SUPERSEDED)
    await peer.hear(WorkerHeartbeat, lambda beat: beat.holds == [])
    await asyncio.gather(*agent._side)
    assert not (tmp_path / "outputs/1").exists()


async def test_a_directory_that_holds_files_of_another_farm_is_not_mixed_with_new_ones(
    joined: Peer, tmp_path: Path
) -> None:
    (tmp_path / "outputs/1/1").mkdir(parents=True)
    (tmp_path / "outputs/1/1/old").write_text("old")
    await joined.assign(an_attempt(1, 1, python("pass")))
    assert "is not empty" in ((await joined.finished(1)).error or "")


async def test_an_output_directory_that_cannot_be_made_is_named(
    peer: Peer, start_agent: StartAgent, tmp_path: Path
) -> None:
    (tmp_path / "outputs").write_text("a file where the directory should be")
    await start_agent()
    await peer.hear(WorkerOnline)
    await peer.assign(an_attempt(1, 1, python("pass")), an_attempt(2))
    finished = await peer.finished(1)
    assert f"cannot make the output directory {tmp_path}/outputs/1/1" in (finished.error or "")
    assert "set output_root" in (finished.error or "")
    assert (await peer.finished(2)).outcome is Outcome.COMPLETED, "the agent goes on"


async def test_a_program_that_runs_too_long_is_ended_by_the_agent_itself(joined: Peer, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    words = ["sh", "-c", f"echo $$ > {note}; exec sleep infinity"]
    await joined.assign(an_attempt(8, 1, Command(name="exec", parameters={"argv": words}), max_run_s=1))
    finished = await joined.finished(8)
    assert (finished.outcome, finished.cause) == (Outcome.FAILED, "time")
    assert finished.error == "it ran longer than the 1 s allowed (max_run_s)"
    with contextlib.suppress(psutil.NoSuchProcess):
        wait_gone([psutil.Process(int(note.read_text()))])
