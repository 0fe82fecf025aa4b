"""Flamenco 3's worker operations, call by call. Each case names what it was taken from."""

import itertools
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from coordinator.domain.access import digest_of
from tests.gateways.flamenco_v3.conftest import Studio

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"Content-Type": "application/json"}


def told(answer: httpx.Response) -> Any:
    """Status and body."""
    return answer.status_code, answer.json() if answer.content else None


# --- register-worker ---------------------------------------------------------------------------------------


async def test_who_registers_is_a_worker_that_has_not_signed_on(studio: Studio) -> None:
    """Flamenco 3 API: registerWorker, 200. The client takes no status but those of the schema: `offline`, not ``."""
    worker = studio.worker()
    said = (await worker.register(supported_task_types=[" Blender ", "FFmpeg", "blender"])).json()
    assert UUID(said.pop("uuid")).version == 4
    assert said == {
        "name": worker.name,
        "address": "127.0.0.1",
        "status": "offline",
        "platform": "linux",
        "software": "",
        "supported_task_types": ["blender", "ffmpeg"],
    }
    row = await studio.row(worker)
    assert (row["protocol"], row["connection"], row["slots"]) == (
        "flamenco_v3",
        "offline",
        1,
    )
    kept = await studio.farm.rows("SELECT digest FROM access_tokens WHERE prefix = $1", worker.uuid)
    assert kept[0]["digest"] == digest_of(worker.secret)


@pytest.mark.parametrize("missing", ["secret", "platform", "supported_task_types", "name"])
async def test_a_registration_without_a_required_field_is_refused(studio: Studio, missing: str) -> None:
    """Flamenco 3 API: WorkerRegistration, all four are required; 400 by the request validator."""
    said = {"secret": "s", "platform": "linux", "supported_task_types": [], "name": "n"}
    del said[missing]
    answer = await studio.http.post("/api/v3/worker/register-worker", json=said)
    assert answer.status_code == 400
    assert answer.json()["code"] == 400
    assert missing in answer.json()["message"]


async def test_what_is_no_json_is_no_registration(studio: Studio) -> None:
    """Flamenco 3 API: registerWorker, Error with code and message."""
    for content, status in ((b"{", 400), (b"", 400), (b"x" * 300_000, 413)):
        answer = await studio.http.post("/api/v3/worker/register-worker", content=content, headers=JSON)
        assert (answer.status_code, sorted(answer.json())) == (status, ["code", "message"])


async def test_two_workers_of_one_name_are_two(studio: Studio) -> None:
    """Flamenco 3: a name is no identity."""
    first, second = await studio.awake("twins"), await studio.awake("twins")
    assert (await studio.row(first))["id"] != (await studio.row(second))["id"]
    for worker in (first, second):
        assert (await worker.task()).status_code == 204


async def test_who_registers_again_after_it_has_gone_is_recognised(studio: Studio) -> None:
    """Cured: in Flamenco each registration leaves another row behind."""
    before = await studio.awake("phoenix-" + studio.kind)
    row = await studio.row(before)
    await studio.farm.rows("UPDATE workers SET labels = '{approved}' WHERE id = $1", row["id"])
    await before.sign_off()
    after = studio.worker(before.name)
    await after.awake()
    again = await studio.row(after)
    assert (again["id"], again["labels"], again["epoch"]) == (row["id"], [], row["epoch"] + 1)
    assert (await before.sign_on()).status_code == 403, "its former credential is void"


async def test_who_looks_for_a_manager_finds_one(studio: Studio) -> None:
    """Flamenco 3 API: getVersion, FlamencoVersion; nobody is asked who he is."""
    found = (await studio.http.get("/api/v3/version")).json()
    assert (sorted(found), found["name"]) == (["git", "name", "shortversion", "version"], "Farmhand")
    assert (await studio.http.get("/api/v3/jobs/types")).status_code == 404, "job compilers are not ours"
    assert (await studio.http.post("/api/v3/version")).status_code == 405


# --- who calls ---------------------------------------------------------------------------------------------

CALLS = [
    ("POST", "/sign-on"),
    ("POST", "/sign-off"),
    ("GET", "/state"),
    ("POST", "/state-changed"),
    ("POST", "/task"),
    ("POST", f"/task/{uuid4()}"),
    ("GET", f"/task/{uuid4()}/may-i-run"),
    ("POST", f"/task/{uuid4()}/output-produced"),
]


async def test_without_the_right_secret_all_is_forbidden(studio: Studio) -> None:
    """Flamenco 3 API: SecurityError, 403 with a message and no code; never 401."""
    known = studio.worker()
    await known.register()
    credentials: list[Any] = [None, (known.uuid, "wrong"), (str(uuid4()), known.secret), ("nobody", "x"), ("", "")]
    for (method, path), auth in itertools.product(CALLS, credentials):
        answer = await studio.http.request(method, f"/api/v3/worker{path}", auth=auth)
        assert answer.status_code == 403, answer.text
        assert list(answer.json()) == ["message"]
        assert answer.json()["message"].startswith("security requirements failed: ")


async def test_a_scheme_that_is_not_basic_is_forbidden(studio: Studio) -> None:
    """Flamenco 3 API: worker_auth is HTTP Basic."""
    for given in ("Bearer x", "Basic", "Basic !!!", "Basic eA=="):
        answer = await studio.http.get("/api/v3/worker/state", headers={"Authorization": given})
        assert answer.status_code == 403


async def test_a_removed_worker_is_forbidden(studio: Studio) -> None:
    """Flamenco 3: a deleted worker's credential is worth nothing."""
    worker = await studio.awake()
    await worker.sign_off()
    async with studio.client() as client:
        await client.remove_worker((await studio.row(worker))["id"])
    for answer in (await worker.task(), await worker.state(), await worker.changed("awake"), await worker.sign_off()):
        assert answer.status_code == 403


# --- sign-on, sign-off -------------------------------------------------------------------------------------


async def test_sign_on_says_what_to_be_and_takes_over_what_the_worker_is(studio: Studio) -> None:
    """Flamenco 3 API: signOn, 200 WorkerStateChange: awake where nothing is asked; task types in small letters."""
    worker = studio.worker()
    await worker.register()
    answer = await worker.sign_on(name="renamed", supported_task_types=["FFMPEG "], can_restart=True)
    assert told(answer) == (200, {"status_requested": "awake"})
    row = await studio.row(worker)
    assert (row["duty"], row["kinds"], row["can_restart"]) == ("starting", ["ffmpeg"], True)
    assert row["software"] == "flamenco-worker 3.8"
    assert told(await worker.task()) == (
        409,
        {"code": 409, "message": 'worker is in state "starting", requires state "awake" to execute tasks'},
    )


async def test_sign_on_says_what_was_asked_for_meanwhile(studio: Studio) -> None:
    """Flamenco 3: a pending request comes before everything else, and stays until it is acknowledged."""
    worker = await studio.awake()
    await worker.sign_off()
    await studio.ask(worker, "asleep")
    assert (await worker.sign_on()).json() == {"status_requested": "asleep"}
    assert (await worker.sign_on()).json() == {"status_requested": "asleep"}


@pytest.mark.parametrize("missing", ["name", "supported_task_types", "software_version"])
async def test_a_sign_on_without_a_required_field_is_refused(studio: Studio, missing: str) -> None:
    """Flamenco 3 API: WorkerSignOn, 400."""
    worker = studio.worker()
    await worker.register()
    said = {"name": "n", "supported_task_types": ["x"], "software_version": "3"}
    del said[missing]
    answer = await worker.call("POST", "/sign-on", json=said)
    assert answer.status_code == 400
    assert missing in answer.json()["message"]


async def test_who_signs_off_gives_back_its_task_and_has_to_sign_on_again(studio: Studio) -> None:
    """Flamenco 3 API: signOff, 204; active tasks are queued again; POST without a body but with its type."""
    worker = await studio.awake()
    job = await studio.submit({"name": "a"})
    await worker.given()
    answer = await worker.call("POST", "/sign-off", headers=JSON)
    assert told(answer) == (204, None)
    assert await studio.tasks(job) == ["ready"]
    assert (await studio.row(worker))["connection"] == "offline"
    assert (await worker.task()).json()["message"].startswith('worker is in state "offline"')


@pytest.mark.parametrize(("was", "then"), [("asleep", "asleep"), ("awake", "awake"), ("error", "error")])
async def test_what_a_worker_was_is_remembered(studio: Studio, was: str, then: str) -> None:
    """Flamenco 3: signOff remembers asleep and awake for the next sign-on."""
    worker = await studio.awake()
    await worker.changed(was)
    await worker.sign_off()
    assert (await worker.sign_on()).json() == {"status_requested": "asleep" if then == "error" else then}


# --- state, state-changed ----------------------------------------------------------------------------------


async def test_state_tells_what_is_asked_until_it_is_so(studio: Studio) -> None:
    """Flamenco 3 API: workerState, 204 and 200; a lazy request is told too."""
    worker = await studio.awake()
    assert told(await worker.state()) == (204, None)
    await studio.ask(worker, "asleep", lazy=True)
    assert told(await worker.state()) == (200, {"status_requested": "asleep"})
    assert told(await worker.changed("asleep")) == (204, None)
    assert told(await worker.state()) == (204, None)
    await studio.ask(worker, "awake")
    assert told(await worker.state()) == (200, {"status_requested": "awake"})
    await worker.changed("awake")
    assert (await studio.row(worker))["requested_state"] is None


async def test_another_state_than_the_one_asked_for_leaves_the_request(studio: Studio) -> None:
    """Flamenco 3: a state change that differs from the request keeps it pending."""
    worker = await studio.awake()
    await studio.ask(worker, "asleep")
    await worker.changed("starting")
    assert told(await worker.state()) == (200, {"status_requested": "asleep"})


@pytest.mark.parametrize(
    ("asked", "word", "duty"),
    [("drain", "asleep", "draining"), ("error", "asleep", "error"), ("testing", "awake", "testing")],
)
async def test_what_a_worker_has_no_word_for_is_told_in_one_it_has(
    studio: Studio, asked: str, word: str, duty: str
) -> None:
    """Farmhand's own states, as a Flamenco worker can be in them."""
    worker = await studio.awake()
    await studio.ask(worker, asked)
    assert told(await worker.task()) == (423, {"status_requested": word})
    await worker.changed(word)
    assert (await studio.row(worker))["duty"] == duty
    assert (await worker.state()).status_code == 204
    assert (await worker.task()).status_code == (204 if duty == "testing" else 409)


async def test_who_leaves_its_work_gives_it_back(studio: Studio) -> None:
    """Flamenco 3: from awake to anything else, active tasks are queued again."""
    worker = await studio.awake()
    job = await studio.submit({"name": "a"})
    await worker.given()
    await worker.changed("asleep")
    assert await studio.tasks(job) == ["ready"]
    assert (await studio.row(worker))["duty"] == "asleep"


@pytest.mark.parametrize("status", ["offline", "restart"])
async def test_who_says_that_it_goes_is_offline(studio: Studio, status: str) -> None:
    """Flamenco 3 API: workerStateChanged with the last state of a process, then signOff; both 204."""
    worker = studio.worker()
    await worker.register()
    await worker.sign_on(can_restart=True)
    await worker.changed("awake")
    await studio.ask(worker, status)
    assert told(await worker.task()) == (423, {"status_requested": status})
    assert (await worker.changed(status)).status_code == 204
    assert (await worker.sign_off()).status_code == 204
    assert (await studio.row(worker))["requested_state"] is None
    assert (await worker.sign_on()).json() == {"status_requested": "awake"}


@pytest.mark.parametrize("body", [{"status": "sleeping"}, {"status": ""}, {}, [], {"status": 3}])
async def test_a_state_that_is_none_is_refused(studio: Studio, body: Any) -> None:
    """Flamenco 3 API: WorkerStatus is one of seven words; 400."""
    worker = await studio.awake()
    answer = await worker.call("POST", "/state-changed", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, 400)


async def test_who_was_given_up_is_back_with_its_next_call(studio: Studio) -> None:
    """Cured: in Flamenco a worker that timed out gets 409 until somebody asks it to be awake."""
    worker = await studio.awake()
    row = await studio.row(worker)
    assert (row["heartbeat_s"], row["lost_after_s"]) == (35.0, 150.0)
    job = await studio.submit({"name": "a"})
    first = await worker.given()
    await studio.gates.silent(row["id"], 151)
    await studio.farm.until("SELECT connection = 'lost' FROM workers WHERE id = $1", row["id"])
    assert await studio.tasks(job) == ["ready"]
    assert (await worker.may_run(first["uuid"])).json()["mayKeepRunning"] is False
    second = await worker.given()
    assert second["uuid"] != first["uuid"]
    assert (await studio.row(worker))["connection"] == "online"
    assert (await worker.update(first["uuid"], taskStatus="completed")).status_code == 409
    assert (await worker.update(second["uuid"], taskStatus="completed")).status_code == 204
