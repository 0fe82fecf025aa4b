"""Flamenco 1's manager API, call by call. Each case names what it was taken from."""

import json
from typing import Any

import httpx
import pytest

from coordinator.gateways.flamenco_v1 import translate
from coordinator.gateways.flamenco_v1.line import INFO_BYTES, Line
from tests.gateways.conftest import Gates
from tests.gateways.flamenco_v1.scripted import INFO, LOAD, Worker

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Flamenco 1 API: POST /tasks.
TASK: dict[str, Any] = {"task_id": 12, "type": "elsewhere", "parser": "blender_render", "priority": 10,
                        "settings": json.dumps({"frame_start": 5, "frame_end": 10, "frame_current": 5})}  # fmt: skip


async def row(gates: Gates, worker: Worker) -> dict[str, Any]:
    """The worker as it is here."""
    return await gates.worker(translate.name_of(worker.foreign_id))


async def number(http: httpx.AsyncClient, worker: Worker) -> int:
    """Its number, as the list tells it."""
    listed = (await http.get("/workers")).json().values()
    return int(next(one["id"] for one in listed if one["port"] == worker.port))


# --- tasks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "mine"), [("data", 12), ("json", 13)])
async def test_a_task_is_created_as_a_form_or_as_json(
    shared_gates: Gates, shared_http: httpx.AsyncClient, kind: str, mine: int
) -> None:
    """Flamenco 1 API: POST /tasks, "Returns 202"; its server sends forms."""
    task = TASK | {"task_id": mine}
    answer = await (shared_http.post("/tasks", data=task) if kind == "data" else shared_http.post("/tasks", json=task))
    assert (answer.status_code, answer.json()) == (
        202,
        {"id": mine, "worker_id": None, "priority": 10, "frame_start": 5, "frame_end": 10, "frame_current": 5,
         "status": "ready", "format": ""},
    )  # fmt: skip
    (made,) = await shared_gates.farm.rows(
        "SELECT t.priority, t.state FROM tasks t JOIN jobs j ON j.id = t.job_id WHERE j.key = $1",
        f"flamenco_v1:{mine}",
    )
    assert tuple(made) == (90, "ready")


async def test_the_same_mineis_the_same_task_and_runs_again_when_it_has_ended(
    shared_gates: Gates, shared_http: httpx.AsyncClient
) -> None:
    """Flamenco 1 server, dispatch: an aborted task is sent again under its number."""
    task = TASK | {"task_id": 20}
    for _ in range(2):
        assert (await shared_http.post("/tasks", data=task)).json()["status"] == "ready"
    assert (await shared_http.delete("/tasks/20")).status_code == 202
    assert (await shared_http.post("/tasks", data=task)).json()["status"] == "ready"
    rows = await shared_gates.farm.rows(
        "SELECT t.run FROM tasks t JOIN jobs j ON j.id = t.job_id WHERE j.key = 'flamenco_v1:20'"
    )
    assert [one["run"] for one in rows] == [2]


@pytest.mark.parametrize(
    "wrong",
    [{"task_id": ""}, {"task_id": "x"}, {"task_id": -1}, {"task_id": 10**12}, {"type": ""}, {"type": "a b"},
     {"settings": "["}, {"settings": "[]"}, {"priority": "high"}, {"parser": "a/b"}],
)  # fmt: skip
async def test_a_malformed_task_is_refused(shared_http: httpx.AsyncClient, wrong: dict[str, Any]) -> None:
    """Flamenco 1 API: POST /tasks, its properties and their types."""
    answer = await shared_http.post("/tasks", data={key: str(value) for key, value in (TASK | wrong).items()})
    assert (answer.status_code, set(answer.json())) == (400, {"message", "status"}), answer.text


async def test_what_cannot_be_read_is_malformed(shared_http: httpx.AsyncClient) -> None:
    """Flamenco 1 manager: a form, always; here JSON too."""
    for body, kind in ((b"%ff=%ff", "application/x-www-form-urlencoded"), (b"[1", "application/json"), (b"{", ""),
                       (b"", "application/json"), (b"&".join([b"a=1"] * 101), "")):  # fmt: skip
        answer = await shared_http.post("/tasks", content=body, headers={"Content-Type": kind} if kind else {})
        assert answer.status_code == 400, body
    assert (await shared_http.post("/tasks", content=b"a=" + b"x" * 300_000)).status_code == 413


async def test_an_update_is_204_and_who_goes_on_with_another_s_task_is_stopped(shared_http: httpx.AsyncClient) -> None:
    """Flamenco 1 API: PATCH /tasks/1, "Returns 204"; later workers stop their program at any other status."""
    await shared_http.post("/tasks", data=TASK | {"task_id": 30})
    for update in ({"status": "finished"}, {"status": "aborted", "log": "None", "time_cost": "None"}):
        answer = await shared_http.patch("/tasks/30", data=update)
        assert (answer.status_code, answer.content) == (204, b""), "nobody runs it: nothing has changed"
    answer = await shared_http.patch("/tasks/30", data={"status": "running"})
    assert answer.status_code == 403, "no worker of this address has it"
    assert (await shared_http.patch("/tasks/31", data={"status": "finished"})).status_code == 404
    for wrong in ({"status": "ready"}, {"status": "gone"}, {"time_cost": "-1"}):
        assert (await shared_http.patch("/tasks/30", data=wrong)).status_code == 400
    assert (await shared_http.patch("/tasks/x", json={})).status_code == 400


async def test_a_last_word_is_read_however_long_it_is_and_in_whatever_encoding(shared_http: httpx.AsyncClient) -> None:
    """Flamenco 1 worker: with its last word comes all that its program has written, as bytes; it is said once."""
    await shared_http.post("/tasks", data=TASK | {"task_id": 32})
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for body in (b"log=caf%E9%00\xff&status=finished", b"log=" + b"Fra%3A1+" * 200_000 + b"&status=finished"):
        assert (await shared_http.patch("/tasks/32", content=body, headers=form)).status_code == 204
    said = json.dumps({"status": "finished", "log": "x" * 2_000_000 + "\ud800\x00"})
    assert (await shared_http.patch("/tasks/32", content=said)).status_code == 204
    for wrong in (b"status=gone&log=" + b"x" * 100_000, b"{" + b" " * 100_000, b"["):
        answer = await shared_http.patch("/tasks/32", content=wrong, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400
    assert (await shared_http.patch("/tasks/32", content=b"log=" + b"x" * 2**24, headers=form)).status_code == 413
    files = {"taskfile": ("taskfile.zip", b"PK", "application/zip")}
    answer = await shared_http.patch("/tasks/32", data={"status": "finished"}, files=files)
    assert (answer.status_code, "with files" in answer.json()["message"]) == (400, True)


async def test_a_task_is_deleted_once_and_again(shared_gates: Gates, shared_http: httpx.AsyncClient) -> None:
    """Flamenco 1 API: DELETE /tasks/1, "Returns 202". Flamenco 1 server: it reads that answer as JSON."""
    await shared_http.post("/tasks", data=TASK | {"task_id": 40})
    for _ in range(2):
        answer = await shared_http.delete("/tasks/40")
        assert answer.status_code == 202
        assert (answer.json()["id"], answer.json()["status"]) == (40, "aborted")
    rows = await shared_gates.farm.rows(
        "SELECT t.state FROM tasks t JOIN jobs j ON j.id = t.job_id WHERE j.key = 'flamenco_v1:40'"
    )
    assert [one["state"] for one in rows] == ["canceled"]
    assert (await shared_http.delete("/tasks/41")).status_code == 404
    assert (await shared_http.delete("/tasks/1.5")).status_code == 400


async def test_tasks_that_came_from_elsewhere_cannot_be_deleted_here(
    shared_gates: Gates, shared_http: httpx.AsyncClient
) -> None:
    """Flamenco 1 manager: no credentials; so it deletes only what came through it."""
    submitted = await shared_gates.farm.submit({"kind": "nobody"})
    (task,) = await shared_gates.farm.rows("SELECT id FROM tasks WHERE job_id = $1", submitted.job)
    answer = await shared_http.delete(f"/tasks/{translate.told(task['id'], None)}")
    assert answer.status_code == 403
    assert await shared_gates.farm.state(task["id"]) == "ready"


# --- workers -----------------------------------------------------------------------------------------------


async def test_a_worker_registers_and_is_listed(shared_gates: Gates, shared_http: httpx.AsyncClient) -> None:
    """Flamenco 1 API: POST /workers 204 (as the manager did: nothing in it), GET /workers 200 by hostname."""
    async with Worker(shared_gates.url, "one.local") as worker, Worker(shared_gates.url, "one.local") as other:
        for one in (worker, other):
            answer = await one.register()
            assert (answer.status_code, answer.content) == (204, b"")
        listed = (await shared_http.get("/workers")).json()
        # Theirs overwrote one of two workers of one name.
        shown = [one for one in listed.values() if one["hostname"] == "one.local"]
        assert {one["port"] for one in shown} == {worker.port, other.port}
        assert listed["one.local"] == {
            "activity": None, "connection": "online", "current_task": None, "hostname": "one.local",
            "id": listed["one.local"]["id"], "ip_address": "127.0.0.1", "log": None,
            "port": listed["one.local"]["port"], "status": "enabled", "system": "Darwin 14.1.0", "time_cost": None,
        }  # fmt: skip
        made = await row(shared_gates, worker)
        assert (made["protocol"], made["foreign_id"]) == ("flamenco_v1", worker.foreign_id)
        assert (made["kinds"], made["runners"], made["slots"]) == (["exec"], ["exec"], 1)
        assert made["lost_after_s"] == 3 * made["heartbeat_s"]
        await worker.register()
        assert (await row(shared_gates, worker))["epoch"] == 2, "another life"


@pytest.mark.parametrize(
    "wrong", [{"hostname": ""}, {"hostname": "a\x07"}, {"port": "0"}, {"port": "65536"}, {"port": "x"}]
)
async def test_a_malformed_worker_is_refused(shared_http: httpx.AsyncClient, wrong: dict[str, str]) -> None:
    """Flamenco 1 API: POST /workers."""
    assert (await shared_http.post("/workers", data={"hostname": "a", "port": "5000"} | wrong)).status_code == 400


async def test_a_workers_own_account_of_its_machine(shared_gates: Gates, shared_http: httpx.AsyncClient) -> None:
    """Flamenco 1 API: GET /workers/1; the document says 204 with a body, the manager answered 200."""
    async with Worker(shared_gates.url, "two.local") as worker:
        await worker.register()
        path = f"/workers/{await number(shared_http, worker)}"
        answer = await shared_http.get(path)
        assert (answer.status_code, answer.json()) == (200, {**INFO, **LOAD})
        for status in (302, 500):
            worker.answers["/run_info"] = status
            asked = len(worker.asked)
            answer = await shared_http.get(path)
            assert (answer.status_code, answer.json()) == (200, {"connection": "offline"})
            await worker.until(lambda before=asked: len(worker.asked) > before)
            assert "GET /info" not in worker.asked[asked:], "no redirect is followed"
        await worker.die()
        assert (await shared_http.get(path)).json() == {"connection": "offline"}
    assert (await shared_http.get("/workers/1")).status_code == 404
    assert (await shared_http.get("/workers/one")).status_code == 400


async def test_who_runs_what_writes_much_is_understood(shared_gates: Gates) -> None:
    """Flamenco 1 worker: GET /info holds all that its program has written so far."""
    async with Worker(shared_gates.url) as worker:
        worker.running = "7"
        line = Line("127.0.0.0/8")
        for length in (0, 100_000, INFO_BYTES):
            worker.written = "x" * length
            assert (await line.info(worker.foreign_id))["status"] == "rendering"
        await line.close()


async def test_a_worker_says_how_it_is_and_hears_its_task(shared_gates: Gates, shared_http: httpx.AsyncClient) -> None:
    """Flamenco 1 API: PATCH /workers/1, status "integer", "rendering, available"; the manager: /workers/status/1."""
    async with Worker(shared_gates.url, "three.local") as worker:
        await worker.register()
        mine = await number(shared_http, worker)
        for path in (f"/workers/{mine}", f"/workers/status/{mine}"):
            for update in ({"json": {"status": 1}}, {"data": {"status": "1"}}, {"data": {"status": "available"}}):
                answer = await shared_http.patch(path, **update)
                assert (answer.status_code, answer.json()) == (200, {"task_id": None}), update
        await shared_http.patch(f"/workers/{mine}", json={"status": "disabled"})
        assert (await row(shared_gates, worker))["duty"] == "asleep"
        assert (await shared_http.get("/workers")).json()["three.local"]["status"] == "disabled"
        await shared_http.patch(f"/workers/{mine}", json={"status": "enabled"})
        assert (await row(shared_gates, worker))["duty"] == "awake"
        for path in (f"/workers/{mine}", f"/workers/status/{mine}"):
            for wrong in list[dict[str, Any]](({"status": "tired"}, {}, {"status": []})):
                assert (await shared_http.patch(path, json=wrong)).status_code == 400
            neighbour = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
            async with httpx.AsyncClient(base_url=shared_gates.url, transport=neighbour, timeout=60) as http:
                answer = await http.patch(path, json={"status": "disabled"})
            assert (answer.status_code, "itself" in answer.json()["message"]) == (403, True)
        assert (await row(shared_gates, worker))["duty"] == "awake"
    for path in ("/workers/1", "/workers/status/1"):
        assert (await shared_http.patch(path, json={"status": 1})).status_code == 404


CALLS = [("POST", "/tasks"), ("PATCH", "/tasks/12"), ("DELETE", "/tasks/12"), ("GET", "/workers"), ("POST", "/workers"),
         ("GET", "/workers/12"), ("PATCH", "/workers/12"), ("PATCH", "/workers/status/12")]  # fmt: skip


async def test_pages_of_other_sites_and_public_names_are_refused(shared_http: httpx.AsyncClient) -> None:
    """Flamenco 1 manager: it asks nobody who he is. Cured: what a browser is made to send from elsewhere is refused."""
    for method, path in CALLS:
        refused = {421: {"Host": "farm.example.com"}}
        if method != "GET":
            refused[403] = {"Origin": "https://attacker.example"}
        for status, headers in refused.items():
            answer = await shared_http.request(method, path, headers=headers)
            assert (answer.status_code, answer.json()["status"]) == (status, status), (method, path)
