"""What the demo tells: every change that a person would want to know, and nothing twice."""

from datetime import UTC, datetime
from typing import Any

from coordinator.local.demo.job import zoom
from coordinator.local.demo.scene import Scene, news
from schemas.views import Amounts, Connection, TaskState, TaskView, WorkerView

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def a_worker(name: str = "agent-1", **changes: Any) -> WorkerView:
    """An online worker with two slots."""
    facts: dict[str, Any] = {
        "id": name,
        "protocol": "native",
        "connection": Connection.ONLINE,
        "duty": "awake",
        "epoch": 1,
        "software": "",
        "hostname": "",
        "kinds": ["exec"],
        "queues": ["default"],
        "tags": [],
        "labels": [],
        "zone": "default",
        "capacity": Amounts(slots=2),
        "used": Amounts(),
        "holds": 0,
        "asked": None,
        "reason": None,
        "online_at": NOW,
        "changed_at": NOW,
        "last_seen_at": NOW,
        "cpu_percent": None,
        "memory_percent": None,
    }
    return WorkerView(**{**facts, **changes})


def a_task(number: int = 1, state: TaskState = TaskState.READY, **changes: Any) -> TaskView:
    """A frame that waits."""
    facts: dict[str, Any] = {
        "id": number,
        "job": 1,
        "name": f"frame[{number}]",
        "kind": "exec",
        "queue": "default",
        "state": state,
        "priority": 50,
        "run": 1,
        "attempt": 0,
        "accepted_attempt": None,
        "failures": 0,
        "losses": 0,
        "not_before": None,
        "reason": None,
        "changed_at": NOW,
        "worker": None,
        "done": None,
        "total": None,
        "activity": None,
        "error": None,
    }
    return TaskView(**{**facts, **changes})


def test_the_same_scene_twice_is_no_news() -> None:
    scene = Scene((a_worker(),), (a_task(),))
    assert list(news(scene, scene)) == []


def test_a_worker_that_is_lost_is_news() -> None:
    before = Scene((a_worker(), a_worker("agent-2")))
    now = Scene((a_worker(), a_worker("agent-2", connection=Connection.LOST, reason="silent for 30 s")))
    assert list(news(before, now)) == ["agent-2 is lost: silent for 30 s"]


def test_what_was_lost_with_a_worker_is_news() -> None:
    before = Scene(tasks=(a_task(1, TaskState.RUNNING, attempt=1, worker="agent-2"),))
    now = Scene(tasks=(a_task(1, TaskState.READY, attempt=1, worker="agent-2", losses=1),))
    assert list(news(before, now)) == ["frame[1] was lost with agent-2 and goes back to the queue"]


def test_a_drained_worker_is_told_with_the_reason() -> None:
    now = Scene((a_worker(duty="draining", reason="dust"),))
    assert list(news(Scene((a_worker(),)), now)) == ["agent-1 is draining: dust"]


def test_a_second_attempt_is_news_and_a_first_is_not() -> None:
    first = Scene(tasks=(a_task(1, TaskState.RUNNING, attempt=1, worker="agent-1"),))
    second = Scene(tasks=(a_task(1, TaskState.ASSIGNED, attempt=2, worker="agent-2"),))
    assert list(news(Scene(tasks=(a_task(1),)), first)) == []
    assert list(news(first, second)) == ["frame[1] starts again: attempt 2, on agent-2"]


def test_the_end_of_waiting_for_others_is_news() -> None:
    before = Scene(tasks=(a_task(3, TaskState.BLOCKED, name="join"),))
    now = Scene(tasks=(a_task(3, TaskState.ASSIGNED, name="join", attempt=1, worker="agent-1"),))
    assert list(news(before, now)) == ["join has all its inputs and goes to agent-1"]


def test_a_failure_is_told_with_its_reason() -> None:
    before = Scene(tasks=(a_task(1, TaskState.RUNNING, attempt=1, worker="agent-1"),))
    now = Scene(tasks=(a_task(1, TaskState.SCHEDULED, attempt=1, worker="agent-1", failures=1, reason="exit code 1"),))
    assert list(news(before, now)) == ["frame[1] failed on agent-1 and is tried again: exit code 1"]


def test_the_victim_is_who_runs_most_and_is_online() -> None:
    scene = Scene(
        (a_worker("agent-1"), a_worker("agent-2"), a_worker("agent-3", connection=Connection.LOST)),
        (
            a_task(1, TaskState.RUNNING, worker="agent-1"),
            a_task(2, TaskState.RUNNING, worker="agent-2"),
            a_task(3, TaskState.RUNNING, worker="agent-2"),
            *(a_task(number, TaskState.RUNNING, worker="agent-3") for number in range(4, 8)),
        ),
    )
    assert scene.busiest() == "agent-2"
    assert scene.busiest("agent-2") == "agent-1"


def test_nobody_is_a_victim_while_nobody_works() -> None:
    assert Scene((a_worker(),), (a_task(),)).busiest() is None


def test_the_job_is_frames_and_one_task_that_waits_for_all_of_them() -> None:
    job = zoom(48, 2)
    assert job.total == 49
    frame, join = job.tasks
    assert [needed.task for needed in join.after] == [frame.name]
    argv = frame.commands[0].parameters["argv"]
    assert isinstance(argv, list)
    assert argv[-3:] == ["--frame={{index}}", "--frames=48", "--samples=2"]
    assert join.promote is not None
