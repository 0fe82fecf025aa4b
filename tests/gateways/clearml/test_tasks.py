"""How a ClearML agent comes to its tasks, and what it says of them. Each case names what it was taken from."""

import asyncio
from typing import Any

import pytest

from coordinator.gateways.clearml import translate
from tests.gateways.clearml.conftest import Client, Lab

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def agent(lab: Lab, name: str = "w", *queues: str, host: str = "") -> Client:
    """One that has registered, for this test's queue or others."""
    client = await lab.client(host)
    ids = [translate.queue_id(queue) for queue in queues or (lab.queue,)]
    await client.done("workers.register", worker=lab.worker(name), queues=ids)
    return client


async def next_task(client: Client, queue: str) -> str | None:
    """The id of the task that it is given from this queue."""
    data = await client.done("queues.get_next_task", queue=queue)
    assert data == {} or set(data["entry"]) == {"task", "added"}
    return data["entry"]["task"] if data else None


async def states(lab: Lab, job: int) -> list[str]:
    """Those of its tasks."""
    return [row["state"] for row in await lab.farm.rows("SELECT state FROM tasks WHERE job_id = $1 ORDER BY id", job)]


# --- queues ------------------------------------------------------------------------------------------------


async def test_an_agent_finds_its_queues_as_it_looks_for_them(lab: Lab) -> None:
    """clearml-agent, start: by escaped name, exact but for capitals; then by id; `tags` is a list, or it crashes."""
    client = await lab.client()
    await lab.submit("a")
    pattern = lab.queue.replace("-", r"\-")
    said: dict[str, Any] = {"name": f"^{pattern}$", "only_fields": ["name", "id"], "search_hidden": True}
    (found,) = (await client.done("v2.5/queues.get_all", **said))["queues"]
    assert (found["id"], found["name"], found["tags"]) == (lab.queue_id, lab.queue, [])
    assert len(found["id"]) >= 30, "the agent knows an id by its length"
    (again,) = (await client.done("v2.5/queues.get_all", id=[lab.queue_id], only_fields=["id", "tags"]))["queues"]
    assert again == found
    new = f"new-{lab.mark}"
    assert (await client.done("queues.create", name=new))["id"] == translate.queue_id(new)
    assert [one["name"] for one in (await client.done("queues.get_all", name=new))["queues"]] == [new]
    assert (await client.done("queues.get_default"))["name"] == "default"
    assert (await client.done("queues.get_by_id", queue=lab.queue_id))["queue"]["name"] == lab.queue
    assert (await client.done("v2.15/queues.get_num_entries", queue=lab.queue_id))["num"] == 1
    assert lab.queue in {one["name"] for one in (await client.done("queues.get_all"))["queues"]}


async def test_what_is_no_queue_is_refused(lab: Lab) -> None:
    """ClearML, error codes: 701 for a queue that is none."""
    client = await agent(lab)
    for endpoint in ("queues.get_by_id", "queues.get_next_task", "queues.get_num_entries"):
        for queue in ("", "x", "0" * 32, lab.queue, f"{lab.queue_id}00"):
            assert await client.code(endpoint, queue=queue) == (400, 701), (endpoint, queue)
        assert await client.code(endpoint) == (400, 12)
    for name in ("", "two words", "é"):
        assert await client.code("queues.create", name=name) == (400, 12)
    assert await client.code("queues.get_all", name="(") == (400, 12)
    assert await client.code("queues.get_all", id=5.5) == (200, 0), "an id that there is not"


async def test_tasks_come_from_the_queue_that_is_asked_only_and_once(lab: Lab) -> None:
    """ClearML, queues.get_next_task: the head of that queue; an empty one gives no entry; two never get the same."""
    urgent, calm = f"urgent-{lab.mark}", f"calm-{lab.mark}"
    one, two = await agent(lab, "one", urgent, calm), await agent(lab, "two", urgent, calm)
    assert await next_task(one, translate.queue_id(urgent)) is None
    await lab.submit("a", queue=urgent)
    job = await lab.submit("b", queue=calm)
    assert await next_task(one, lab.queue_id) is None
    second = await next_task(one, translate.queue_id(calm))
    assert second is not None, "though another queue comes first in its own order: it asks"
    assert (await states(lab, job)) == ["running"]
    assert await next_task(two, translate.queue_id(calm)) is None
    assert await next_task(two, translate.queue_id(urgent)) is not None
    await lab.submit(*(f"t{number}" for number in range(6)))
    crowd = [await agent(lab, f"crowd{number}") for number in range(8)]
    given = await asyncio.gather(*(next_task(client, lab.queue_id) for client in crowd))
    named = [task for task in given if task is not None]
    assert len(named) == len(set(named)) == 6


async def test_who_has_not_said_who_it_is_gets_nothing(lab: Lab) -> None:
    """Ours: an agent is known by its login; 1004 for one that is not registered."""
    client = await lab.client()
    assert await client.code("queues.get_next_task", queue=lab.queue_id) == (400, 1004)
    client.token = ""
    assert await client.code("queues.get_next_task", queue=lab.queue_id) == (401, 20)


async def test_an_agent_that_logs_in_again_goes_on_before_its_next_report(lab: Lab) -> None:
    """clearml-agent, session: a token that is old or refused is replaced by another login, and the agent polls on
    without a word of who it is; theirs gives work to whoever asks, and knows the worker by its reports only."""
    box, other = f"box-{lab.mark}", f"other-{lab.mark}"
    busy, here, there = [await agent(lab, name, host=host) for name, host in (("a", box), ("b", box), ("c", other))]
    await lab.submit("a", "b", "c")
    running = await next_task(busy, lab.queue_id)
    await busy.done("tasks.started", task=running)

    stranger = await lab.client(f"new-{lab.mark}")
    assert await stranger.code("queues.get_next_task", queue=lab.queue_id) == (400, 1004), (
        "nobody is there of that name"
    )
    elsewhere = await Client(lab.http, await lab.gates.credential("clearml", f"other-{lab.mark}"), box).login()
    assert await elsewhere.code("queues.get_next_task", queue=lab.queue_id) == (400, 1004), "others' keys"

    await here.login()
    task = await next_task(here, lab.queue_id)
    assert task is not None, "it is the one that is free on its machine"
    await here.done("tasks.started", task=task)
    await here.report(lab.worker("b"), task=task)
    shown = await there.listed()
    assert [shown[lab.worker(name)]["task"]["id"] for name in "ab"] == [running, task]
    await here.done("tasks.completed", task=task)
    assert await next_task(here, lab.queue_id) is not None, "now it is known by its report"


async def test_of_several_that_an_agent_may_be_its_next_report_tells_which(lab: Lab) -> None:
    """Ours: two agents of one machine, both idle, and one of them logs in again; nobody's work is given to another."""
    box = f"box-{lab.mark}"
    one, two = await agent(lab, "a", host=box), await agent(lab, "b", host=box)
    job = await lab.submit("a")
    await two.login()
    assert await next_task(two, lab.queue_id) is None
    assert await states(lab, job) == ["ready"]
    await two.report(lab.worker("b"))
    task = await next_task(two, lab.queue_id)
    assert task is not None
    assert (await one.listed())[lab.worker("b")]["task"]["id"] == task
    assert await next_task(one, lab.queue_id) is None, "who has not logged in again is who it was"


async def test_an_answer_that_was_lost_is_given_again_but_not_what_was_begun(lab: Lab) -> None:
    """Ours: theirs takes a task out of its queue, and forgets it with the answer."""
    client = await agent(lab)
    job = await lab.submit("a")
    task = await next_task(client, lab.queue_id)
    assert await next_task(client, lab.queue_id) == task
    await client.done("tasks.started", task=task, status_message="pulled by agent")
    again = await next_task(client, lab.queue_id)
    assert again not in (None, task), "it asks for work: it has lost track of what it began, and that runs anew"
    (shown,) = (await client.done("tasks.get_all", id=[task]))["tasks"]
    assert shown["status"] == "stopped"
    await client.done("tasks.completed", task=again)
    assert await states(lab, job) == ["completed"]


# --- tasks -------------------------------------------------------------------------------------------------


async def test_a_task_is_begun_logged_and_ended(lab: Lab) -> None:
    """clearml-agent, a task's calls in their order."""
    client = await agent(lab)
    job = await lab.submit("train")
    task = await next_task(client, lab.queue_id)
    started = await client.done("v2.5/tasks.started", task=task, status_message="pulled by agent", force=True)
    assert started == {"updated": 1, "fields": {"status": "in_progress"}, "started": 1}
    await client.report(lab.worker(), task=task, queue=lab.queue_id, queues=[lab.queue_id])
    lines = b'{"type": "log", "task": "%s", "msg": "one"}\n{"type": "log", "task": "%s", "msg": "two\\n"}\n' % (
        (str(task).encode(),) * 2
    )
    headers = {"Authorization": f"Bearer {client.token}", "Content-Type": "application/json-lines"}
    added = await lab.http.post("/events.add_batch", content=lines, headers=headers)
    assert added.json()["data"] == {"added": 2, "errors": 0}
    (found,) = (await client.done("v2.15/tasks.get_all", id=[task], only_fields=["runtime"]))["tasks"]
    assert found["runtime"] == {}
    assert (await client.done("tasks.edit", task=task, runtime={"x": 1}, force=True))["updated"] == 1
    assert (await client.done("tasks.dequeue", task=task, new_status="in_progress"))["updated"] == 1
    assert await client.done("tasks.ping", task=task) == {}
    (polled,) = (await client.done("v2.14/tasks.get_all", id=[task], only_fields=["status", "status_message"]))["tasks"]
    assert (polled["status"], polled["status_message"]) == ("in_progress", "")
    program = (await client.done("v2.5/tasks.get_by_id", task=task))["task"]
    assert program["script"]["diff"] == "print('hello')"
    assert (program["name"], program["execution"]["queue"]) == ("train", lab.queue_id)
    assert (await client.done("tasks.completed", task=task))["fields"] == {"status": "completed"}
    assert (await client.done("tasks.completed", task=task))["updated"] == 1, "said twice, it is so twice"
    assert await states(lab, job) == ["completed"]
    rows = await lab.farm.rows(
        "SELECT l.text FROM logs l JOIN tasks t ON t.id = l.task_id WHERE t.job_id = $1 ORDER BY chunk", job
    )
    assert "".join(row["text"] for row in rows) == "one\ntwo\n"
    await client.report(lab.worker(), queues=[lab.queue_id])
    assert "task" not in (await client.listed())[lab.worker()]


async def test_a_failure_is_judged_here_and_what_is_stopped_is_handed_back(lab: Lab) -> None:
    """ClearML, tasks.failed, tasks.stopped; the number of retries is the job's."""
    client = await agent(lab)
    job = await lab.submit("a")
    first = await next_task(client, lab.queue_id)
    stopped = await client.done("tasks.stopped", task=first, status_message="user abort")
    assert stopped["fields"] == {"status": "stopped"}
    assert await states(lab, job) == ["ready"]
    for number in (1, 2):
        async with asyncio.timeout(60):
            while (task := await next_task(client, lab.queue_id)) is None:
                await lab.farm.rows(  # its pause before the next attempt is over
                    "UPDATE tasks SET not_before = farm_now() WHERE job_id = $1 AND not_before IS NOT NULL", job
                )
                await lab.farm.rows("SELECT pg_sleep(0.2)")
        said = await client.done("tasks.failed", task=task, status_reason="worker execution exit code 1")
        assert said["fields"] == {"status": "failed"}, number
    assert await states(lab, job) == ["failed"]
    (row,) = await lab.farm.rows(
        "SELECT a.error FROM attempts a JOIN tasks t ON t.id = a.task_id WHERE t.job_id = $1"
        " ORDER BY a.attempt DESC LIMIT 1",
        job,
    )
    assert row["error"] == "worker execution exit code 1"


async def test_a_task_that_is_canceled_is_shown_as_stopped(lab: Lab) -> None:
    """clearml-agent: it looks each 5 s, and ends the program when the status is stopped."""
    client = await agent(lab)
    job = await lab.submit("a")
    task = await next_task(client, lab.queue_id)
    await client.done("tasks.started", task=task)
    async with lab.operator() as operator:
        await operator.cancel_job(job)
    (shown,) = (await client.done("tasks.get_all", id=[task]))["tasks"]
    assert shown["status"] == "stopped"
    await client.done("tasks.stopped", task=task)
    for endpoint in ("completed", "failed", "started", "edit", "dequeue"):
        assert await client.code(f"tasks.{endpoint}", task=task) == (400, 110), endpoint
    assert await client.done("tasks.ping", task=task) == {}, "theirs asks nothing of it either"
    assert await states(lab, job) == ["canceled"]


async def test_an_agent_that_goes_hands_back_what_it_runs_and_one_that_is_drained_gets_nothing(lab: Lab) -> None:
    """clearml-agent, SIGTERM: unregister; theirs has no drain (clearml-agent#229)."""
    client = await agent(lab)
    job = await lab.submit("a")
    task = await next_task(client, lab.queue_id)
    await client.done("tasks.started", task=task)
    await client.done("workers.unregister", worker=lab.worker(), queues=[lab.queue_id])
    assert await states(lab, job) == ["ready"]
    assert await client.done("queues.get_next_task", queue=lab.queue_id) == {}, "who said goodbye asks for nothing"
    other = await agent(lab, "other")
    async with lab.operator() as operator:
        await operator.request_worker_state(translate.name_of(lab.worker("other")), "drain")
        assert (await operator.worker(translate.name_of(lab.worker("other")))).duty == "draining", "it needs no word"
        assert await next_task(other, lab.queue_id) is None
        await operator.request_worker_state(translate.name_of(lab.worker("other")), "awake")
        assert await next_task(other, lab.queue_id) is not None


async def test_what_is_no_task_is_refused(lab: Lab) -> None:
    """ClearML, error codes: 101 for a task that there is not, 12 for none named."""
    client = await agent(lab)
    strangers = ("x", "f" * 32, translate.task_id(2**40, 1))
    for endpoint in ("started", "ping", "completed", "failed", "stopped", "edit", "dequeue", "get_by_id"):
        for task in strangers:
            assert await client.code(f"tasks.{endpoint}", task=task) == (400, 101), (endpoint, task)
        assert await client.code(f"tasks.{endpoint}") == (400, 12)
    assert await client.done("tasks.get_all", id=list(strangers)) == {"tasks": []}
    assert await client.done("tasks.get_all") == {"tasks": []}
    headers = {"Authorization": f"Bearer {client.token}"}
    answers = {
        b'{"type": "log", "task": "x", "msg": "m"}': (200, {"added": 0, "errors": 1}),
        b'{"type": "training_stats_scalar"}': (200, {"added": 0, "errors": 1}),
        b"": (200, {"added": 0, "errors": 0}),
        b"{": (400, {}),
        b"[1]": (400, {}),
    }
    for content, (status, data) in answers.items():
        answer = await lab.http.post("/events.add_batch", content=content, headers=headers)
        assert (answer.status_code, answer.json()["data"]) == (status, data), content


async def test_elements_of_an_array_have_their_own_program(lab: Lab) -> None:
    """Ours: places are filled before the agent reads them."""
    client = await agent(lab)
    parameters = {"script": "print({{value}})", "requirements": ["numpy"], "entry_point": "{{index}}.py"}
    task = {"name": "fold", "kind": "clearml", "queue": lab.queue, "array": {"values": ["x"]},
            "commands": [{"name": "clearml", "parameters": parameters}]}  # fmt: skip
    await lab.farm.submit(task, accept_unknown_kinds=True)
    given = await next_task(client, lab.queue_id)
    found = (await client.done("tasks.get_by_id", task=given))["task"]
    assert found["name"] == "fold[0]"
    assert found["script"]["diff"] == "print(x)"
    assert (found["script"]["entry_point"], found["script"]["requirements"]) == ("0.py", {"pip": "numpy"})
