"""The demo on the screen: plain lines where there is no terminal, a picture where there is one."""

import io

from rich.console import Console

from coordinator.local.demo.scene import Scene
from coordinator.local.demo.view import LiveView, PlainView, picture, progress_line, view_for
from schemas.views import QueueView, TaskState
from tests.unit.demo.test_scene import a_task, a_worker

SCENE = Scene(
    (a_worker("agent-1", cpu_percent=97.0), a_worker("agent-2", duty="draining")),
    (
        a_task(1, TaskState.COMPLETED, worker="agent-1"),
        a_task(2, TaskState.RUNNING, worker="agent-1", done=5, total=20),
        a_task(3),
    ),
    QueueView(name="default", waiting=1, running=1, oldest_ready_at=None, serving=1, workers=2),
)


def test_without_a_terminal_there_are_plain_lines() -> None:
    out = io.StringIO()
    view = view_for(Console(file=out))
    assert isinstance(view, PlainView)
    with view:
        view.tell("agent-1 is online [red]with[/red] 2 slots")
        view.show(SCENE)
    assert "agent-1 is online [red]with[/red] 2 slots" in out.getvalue()
    assert "1 of 3 tasks done, 1 running (agent-1 1, agent-2 0), 1 waiting" in out.getvalue()
    assert all(character.isprintable() or character == "\n" for character in out.getvalue())


def test_plain_lines_do_not_repeat_what_has_not_changed() -> None:
    out = io.StringIO()
    view = PlainView(Console(file=out))
    for _ in range(5):
        view.show(SCENE)
    assert len(out.getvalue().splitlines()) == 1


def test_a_dumb_terminal_gets_plain_lines() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    assert isinstance(view_for(console), PlainView)


def test_a_terminal_gets_a_live_picture() -> None:
    out = io.StringIO()
    view = view_for(Console(file=out, force_terminal=True, width=100, _environ={"TERM": "xterm"}))
    assert isinstance(view, LiveView)
    with view:
        view.tell("KILL agent-2")
        view.show(SCENE)
    assert "KILL agent-2" in out.getvalue()
    assert "frame[2]  25 %" in out.getvalue()


def test_the_picture_shows_workers_tasks_and_queue() -> None:
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as shown:
        console.print(picture(SCENE, ["12.0 s  [bold] is no markup here"], 12))
    text = shown.get()
    assert "agent-2  draining" in text
    assert "machine  97 %" in text
    assert "■□·" in text
    assert "queue default: 1 waiting, 1 running" in text
    assert "[bold] is no markup here" in text


def test_progress_counts_each_task_once() -> None:
    assert progress_line(SCENE) == "1 of 3 tasks done, 1 running (agent-1 1, agent-2 0), 1 waiting"
