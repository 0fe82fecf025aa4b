"""Flamenco 3's operations on workers for operators. Each case names what it was taken from."""

from datetime import datetime
from typing import Any

import pytest

from coordinator.client import AsyncFarmhandClient
from coordinator.gateways.flamenco_v3 import tagging
from tests.gateways.flamenco_v3.client import Worker
from tests.gateways.flamenco_v3.conftest import Studio

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORKERS = "/api/v3/worker-mgt/workers"


async def post(studio: Studio, worker: Worker, what: str, **said: Any) -> tuple[int, Any]:
    """Ask something of a worker."""
    answer = await studio.http.post(f"{WORKERS}/{worker.uuid}/{what}", json=said)
    return answer.status_code, answer.json() if answer.content else None


async def test_workers_are_listed_and_shown(studio: Studio) -> None:
    """Flamenco 3 API: fetchWorkers, fetchWorker; WorkerSummary, Worker with its task."""
    worker, asleep = await studio.awake(), await studio.awake()
    await studio.submit({"name": "a"})
    task = await worker.given()
    await studio.ask(worker, "asleep", lazy=True)
    await asleep.changed("asleep")
    listed = {one["id"]: one for one in (await studio.http.get(WORKERS)).json()["workers"]}
    shown = (await studio.http.get(f"{WORKERS}/{worker.uuid}")).json()
    summary = listed[worker.uuid]
    assert {name: shown[name] for name in summary if name != "last_seen"} == {
        "id": worker.uuid,
        "name": worker.name,
        "status": "awake",
        "status_change": {"status": "asleep", "is_lazy": True},
        "version": "3.8",
        "can_restart": False,
    }
    assert (shown["ip_address"], shown["platform"]) == ("127.0.0.1", "linux")
    assert shown["supported_task_types"] == [studio.kind]
    updated = shown["task"].pop("updated")
    assert datetime.fromisoformat(updated).tzinfo is not None
    assert shown["task"] == {
        "id": task["uuid"], "job_id": task["job"], "name": "a", "status": "active", "index_in_job": 1, "priority": 50,
        "task_type": studio.kind, "steps_completed": 0, "steps_total": 1,
    }, "all that TaskSummary requires"  # fmt: skip
    assert (listed[asleep.uuid]["status"], "status_change" in listed[asleep.uuid]) == ("asleep", False)


@pytest.mark.parametrize(("uuid", "status"), [("x", 400), ("3a7c9f52-1d0e-4b86-9f2a-6c5d4e8b7a10", 404)])
async def test_who_is_not_there_is_not_found(studio: Studio, uuid: str, status: int) -> None:
    """Flamenco 3 API: fetchWorker, deleteWorker, …: 400 for no UUID, 404."""
    gets, posts = ("", "/sleep-schedule"), ("/setstatus", "/sleep-schedule", "/settags")
    calls = [("GET", path) for path in gets] + [("DELETE", "")] + [("POST", path) for path in posts]
    for method, path in calls:
        answer = await studio.http.request(method, f"{WORKERS}/{uuid}{path}")
        assert (answer.status_code, answer.json()["code"]) == (status, status)


async def test_a_status_is_asked_for_lazily_or_at_once(studio: Studio) -> None:
    """Flamenco 3 API: requestWorkerStatusChange, 204, 400, 412 where it cannot restart."""
    worker = await studio.awake()
    assert await post(studio, worker, "setstatus", status="asleep", is_lazy=False) == (204, None)
    assert (await worker.task()).json() == {"status_requested": "asleep"}
    assert (await post(studio, worker, "setstatus", status="restart", is_lazy=False))[0] == 412
    malformed: list[dict[str, Any]] = [{"status": "gone", "is_lazy": True}, {"status": "asleep"}, {}]
    for said in [*malformed, {"status": "starting", "is_lazy": True}]:
        assert (await post(studio, worker, "setstatus", **said))[0] == 400


async def test_a_deleted_worker_is_gone_with_its_credential(studio: Studio) -> None:
    """Flamenco 3 API: deleteWorker, 204; what it ran is queued again, and its credential void."""
    worker = await studio.awake()
    job = await studio.submit({"name": "a"})
    await worker.given()
    assert (await studio.http.delete(f"{WORKERS}/{worker.uuid}")).status_code == 204
    assert await studio.tasks(job) == ["ready"]
    assert (await worker.task()).status_code == 403
    assert (await studio.http.delete(f"{WORKERS}/{worker.uuid}")).status_code == 404


async def test_a_night_is_one_range_of_sleep(studio: Studio) -> None:
    """Flamenco 3 API: setWorkerSleepSchedule. Cured: theirs swaps a start that is later than its end."""
    worker = await studio.awake()
    answer = await studio.http.get(f"{WORKERS}/{worker.uuid}/sleep-schedule")
    assert (answer.status_code, answer.content) == (204, b"")
    night = {"is_active": True, "days_of_week": "mo fr", "start_time": "18:00", "end_time": "09:00"}
    assert await post(studio, worker, "sleep-schedule", **night) == (204, None)
    assert (await studio.http.get(f"{WORKERS}/{worker.uuid}/sleep-schedule")).json() == night
    async with studio.client() as client:
        schedule = (await client.worker((await studio.row(worker))["id"])).sleep.schedule
    assert schedule is not None
    assert [(one.days, one.start, one.end) for one in schedule.asleep] == [(["mon", "fri"], "18:00", "09:00")]
    always = {"is_active": True, "days_of_week": "", "start_time": "", "end_time": ""}
    await post(studio, worker, "sleep-schedule", **always)
    assert (await worker.task()).json() == {"status_requested": "asleep"}
    for wrong in ({"start_time": "25:00"}, {"days_of_week": "xx"}, {"start_time": "09:00", "end_time": "09:00"}):
        assert (await post(studio, worker, "sleep-schedule", **(night | wrong)))[0] == 400
    await post(studio, worker, "sleep-schedule", **(night | {"is_active": False}))
    assert (await studio.http.get(f"{WORKERS}/{worker.uuid}/sleep-schedule")).status_code == 204


async def test_a_tag_is_a_label_that_tasks_may_ask_for(studio: Studio) -> None:
    """Flamenco 3 API: setWorkerTags, fetchWorkerTags, createWorkerTag; fetch-, update-, deleteWorkerTag.

    Flamenco 3 Manager, scheduler: a job with a tag is for workers that have it; one without is for all.
    """
    tagged, plain = await studio.awake(), await studio.awake()
    name = f"gpu-{tagged.uuid[:8]}"
    tags, one = "/api/v3/worker-mgt/tags", "/api/v3/worker-mgt/tag"
    made = (await studio.http.post(tags, json={"name": name, "description": "for large scenes"})).json()
    assert made["name"] == name
    assert await post(studio, tagged, "settags", tag_ids=[made["id"]]) == (204, None)
    assert made in (await studio.http.get(tags)).json()["tags"]
    assert (await studio.http.get(f"{one}/{made['id']}")).json() == made
    assert (await studio.http.get(f"{WORKERS}/{tagged.uuid}")).json()["tags"] == [made]
    await studio.submit({"name": "large", "labels": [name]})
    assert (await plain.task()).status_code == 204
    assert (await tagged.given())["name"] == "large"
    await studio.submit({"name": "any"})
    assert (await plain.given())["name"] == "any"

    other = f"{name}-b"
    assert (await studio.http.put(f"{one}/{made['id']}", json={"name": other})).status_code == 204
    assert (await studio.row(tagged))["labels"] == [other]
    (renamed,) = (await studio.http.get(f"{WORKERS}/{tagged.uuid}")).json()["tags"]
    assert (await studio.http.delete(f"{one}/{renamed['id']}")).status_code == 204
    assert (await studio.row(tagged))["labels"] == []
    async with studio.client() as client:
        await client.label_worker((await studio.row(plain))["id"], ["x" * 40])
    (long,) = (await studio.http.get(f"{WORKERS}/{plain.uuid}")).json()["tags"]
    assert await post(studio, tagged, "settags", tag_ids=[long["id"], made["id"]]) == (204, None)
    assert (await studio.row(tagged))["labels"] == [name, "x" * 40]

    for wrong in ({"name": "two words"}, {"name": "x" * 21}, {}):
        assert (await studio.http.post(tags, json=wrong)).status_code == 400
        assert (await studio.http.put(f"{one}/{made['id']}", json=wrong)).status_code == 400
    assert (await post(studio, tagged, "settags", tag_ids=["x"]))[0] == 400
    assert (await post(studio, tagged, "settags", tag_ids=[tagged.uuid]))[0] == 404
    for uuid, status in (("x", 400), (tagged.uuid, 404)):
        for method in ("GET", "DELETE", "PUT"):
            said = {"name": "gpu"} if method == "PUT" else None
            assert (await studio.http.request(method, f"{one}/{uuid}", json=said)).status_code == status


#: Flamenco 3 API, tag worker-mgt: what changes nothing, and what changes something; of a worker, or of a tag.
LOOKS = [("GET", "/workers"), ("GET", "/workers/{worker}"), ("GET", "/workers/{worker}/sleep-schedule"),
         ("GET", "/tags"), ("GET", "/tag/{tag}")]  # fmt: skip
CHANGES = [("DELETE", "/workers/{worker}"), ("POST", "/workers/{worker}/setstatus"),
           ("POST", "/workers/{worker}/settags"), ("POST", "/workers/{worker}/sleep-schedule"), ("POST", "/tags"),
           ("PUT", "/tag/{tag}"), ("DELETE", "/tag/{tag}")]  # fmt: skip


async def test_it_takes_a_token_of_the_right_role(studio: Studio) -> None:
    """Farmhand: theirs asks nobody. This farm is open until somebody shows a token: then that is what counts."""
    worker = await studio.awake()
    answer = await studio.http.get(WORKERS, auth=(worker.uuid, worker.secret))
    assert answer.status_code == 200, "an open farm asks nobody"
    async with studio.client() as client:
        boss = (await client.create_token("boss", "admin")).token
    async with AsyncFarmhandClient(studio.gates.url, token=boss) as client:
        looker = (await client.create_token("looker", "viewer")).token
    admin, viewer = ({"Authorization": f"Bearer {token}"} for token in (boss, looker))
    path = f"{WORKERS}/{worker.uuid}/setstatus"
    said = {"status": "asleep", "is_lazy": True}
    assert (await studio.http.get(WORKERS, headers=viewer)).status_code == 200
    answer = await studio.http.post(path, json=said, headers=viewer)
    assert (answer.status_code, list(answer.json())) == (403, ["message"])
    assert (await studio.http.post(path, json=said, headers=admin)).status_code == 204
    strangers: list[dict[str, str]] = [{}, {"Authorization": "Bearer wrong"}]
    refused = [(call, headers) for call in CHANGES for headers in [viewer, *strangers]]
    for (method, path), headers in refused + [(call, headers) for call in LOOKS for headers in strangers]:
        place = "/api/v3/worker-mgt" + path.format(worker=worker.uuid, tag=tagging.uuid_of("gpu"))
        answer = await studio.http.request(method, place, headers=headers)
        assert (answer.status_code, list(answer.json())) == (403, ["message"]), (method, path)
    assert (await studio.http.get(WORKERS, auth=(worker.uuid, worker.secret))).status_code == 403
