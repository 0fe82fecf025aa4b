"""Stencila Hub's workers API, call by call. Each case names what it was taken from."""

import base64
from typing import Any

import httpx
import pytest
import pytest_asyncio

from coordinator.gateways.stencila import translate
from coordinator.gateways.stencila.translate import name_of
from schemas.views import Connection
from tests.gateways.conftest import Gates

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Celery, worker events: what a worker of the Hub sends, as its overseer hands it on.
EVENT: dict[str, Any] = {
    "utcoffset": 0, "pid": 816, "clock": 2, "freq": 60.0, "active": 0, "processed": 0, "loadavg": [1.0, 1.0, 0.51],
    "sw_ident": "py-celery", "sw_ver": "4.4.7", "sw_sys": "Linux", "timestamp": 1795307095.7359443,
    "type": "worker-heartbeat", "local_received": 1795307095.74,
}  # fmt: skip
THEN = 1795307095.7359443


class Hub:
    """A client of the Hub's API, with a token."""

    def __init__(self, gates: Gates, http: httpx.AsyncClient, token: str) -> None:
        self.gates = gates
        self.http = http
        self.token = token
        self.headers = {"Authorization": f"Token {token}"}

    async def tell(self, what: str, hostname: str, **changes: Any) -> httpx.Response:
        """Send a worker's event."""
        event = {**EVENT, "hostname": hostname, **changes}
        return await self.http.post(f"/api/workers/{what}/", json=event, headers=self.headers)

    async def patch(self, hostname: str, update: dict[str, Any]) -> httpx.Response:
        """Send more about a worker."""
        return await self.http.patch(f"/api/workers/{hostname}/", json=update, headers=self.headers)

    async def row(self, hostname: str) -> dict[str, Any]:
        """The worker as it is here."""
        return await self.gates.worker(name_of(hostname))

    async def connection(self, hostname: str) -> Any:
        """Whether it is there."""
        return (await self.row(hostname))["connection"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(shared_gates: Gates, shared_http: httpx.AsyncClient) -> Hub:
    """An overseer."""
    return Hub(shared_gates, shared_http, (await shared_gates.credential("stencila", "overseer"))["token"])


# --- what succeeds -----------------------------------------------------------------------------------------


async def test_a_worker_comes_is_heard_and_goes(hub: Hub) -> None:
    """Stencila Hub API: workers_online, workers_heartbeat, workers_offline; 200 and nothing in the body."""
    for what, connection in (("online", "online"), ("heartbeat", "online"), ("offline", "offline")):
        answer = await hub.tell(what, "worker-1601441256@host")
        assert (answer.status_code, answer.content) == (200, b""), answer.text
        assert await hub.connection("worker-1601441256@host") == connection
    row = await hub.row("worker-1601441256@host")
    assert (row["protocol"], row["foreign_id"], row["software"]) == (
        "stencila",
        "worker-1601441256@host",
        "py-celery 4.4.7",
    )
    assert (row["heartbeat_s"], row["lost_after_s"]) == (60.0, 300.0)


async def test_both_forms_of_a_path_are_right_and_none_is_a_redirect(hub: Hub) -> None:
    """Stencila Hub, OptionalSlashRouter: the overseer posts without the final slash, the clients with it."""
    for form in ("/api/workers/online", "/api/workers/online/", "/api/workers/heartbeat", "/api/workers/offline"):
        answer = await hub.http.post(form, json={"hostname": "worker@slash"}, headers=hub.headers)
        assert answer.status_code == 200, form
    for form in ("/api/workers/worker%40slash", "/api/workers/worker@slash/"):
        assert (await hub.http.patch(form, json={}, headers=hub.headers)).json()["hostname"] == "worker@slash"


async def test_without_a_body_the_call_is_about_the_worker_that_the_token_is_named_after(hub: Hub) -> None:
    """Stencila Hub API: none of the operations takes a parameter; its clients send the JSON type and no body."""
    token = (await hub.gates.credential("stencila", "render-07"))["token"]
    headers = {"Authorization": f"Token {token}"}
    for what, more in (("online", {}), ("heartbeat", {"Content-Type": "application/json"}), ("offline", {})):
        answer = await hub.http.post(f"/api/workers/{what}/", headers={**headers, **more})
        assert (answer.status_code, answer.content) == (200, b"")
        assert await hub.connection("render-07") == ("offline" if what == "offline" else "online")


async def test_the_token_may_come_as_a_basic_name(hub: Hub) -> None:
    """Stencila Hub, authentication: `Basic base64(<token>:)`; an overseer sends the name in its `MANAGER_URL` so."""
    basic = base64.b64encode(f"{hub.token}:".encode()).decode()
    answer = await hub.http.post(
        "/api/workers/online/", json={"hostname": "b"}, headers={"Authorization": f"Basic {basic}"}
    )
    assert answer.status_code == 200


async def test_a_patch_tells_queues_virtual_host_and_slots_and_leaves_the_rest(hub: Hub) -> None:
    """Stencila Hub, overseer: PATCH with `inspect().active_queues()` and `inspect().stats()` of a worker."""
    await hub.tell("online", "worker@queues", freq=2.0)
    update = {
        "stats": {"total": {}, "clock": "2", "broker": {"virtual_host": "stencila", "port": 5672},
                  "pool": {"max-concurrency": 4, "processes": [3636]}},
        "queues": [{"name": "default", "exchange": {"name": "celery"}, "durable": True}, {"name": "zone:2:untrusted"},
                   {"name": "default"}],
    }  # fmt: skip
    answer = await hub.patch("worker@queues", update)
    assert (answer.status_code, answer.json()) == (200, {"hostname": "worker@queues", "queues": []})
    row = await hub.row("worker@queues")
    assert (row["queues"], row["slots"]) == (["default", "zone:2:untrusted"], 4)
    assert '"virtual_host": "stencila"' in str(row["platform"])
    await hub.patch("worker@queues", {"stats": {"pid": 7}})
    await hub.tell("heartbeat", "worker@queues", freq=2.0)
    row = await hub.row("worker@queues")
    assert (row["queues"], row["slots"], row["heartbeat_s"]) == (["default", "zone:2:untrusted"], 4, 2.0)


async def test_an_event_may_hold_what_later_overseers_send_by_patch(hub: Hub) -> None:
    """Stencila Hub, overseer of 2020: `online` with `details`, the queues and the stats of the worker."""
    details = {
        "queues": [{"name": "default"}],
        "stats": {"broker": {"virtual_host": "acme"}, "pool": {"max-concurrency": 2}},
    }
    await hub.tell("online", "worker@details", details=details)
    row = await hub.row("worker@details")
    assert (row["queues"], row["slots"], '"virtual_host": "acme"' in str(row["platform"])) == (["default"], 2, True)
    for other in ({"queues": None, "stats": None}, {"queues": 5}, "none", None):
        assert (await hub.tell("online", "worker@details", details=other)).status_code == 200
    assert (await hub.row("worker@details"))["queues"] == ["default"]


async def test_a_patch_makes_a_worker_known_and_needs_no_virtual_host(hub: Hub) -> None:
    """Stencila Hub, partial_update: an unknown worker was made, and then broke the list; no virtual host was a 500."""
    assert (await hub.patch("worker@patched", {"stats": {"broker": {}}, "queues": [1, "celery"]})).status_code == 200
    row = await hub.row("worker@patched")
    assert (row["connection"], row["queues"], row["lost_after_s"]) == ("online", ["celery"], 300.0)
    await hub.tell("heartbeat", "worker@patched")
    assert (await hub.row("worker@patched"))["software"] == "py-celery 4.4.7"


async def test_names_come_in_camel_case_too(hub: Hub) -> None:
    """Stencila Hub: its JSON parser is camel case in both directions, and takes snake case."""
    event = {"hostname": "worker@camel", "swIdent": "py-celery", "swVer": "5.0", "swSys": "Darwin"}
    await hub.http.post("/api/workers/online/", json=event, headers=hub.headers)
    row = await hub.row("worker@camel")
    assert (row["software"], '"os": "Darwin"' in str(row["platform"])) == ("py-celery 5.0", True)


async def test_what_a_heartbeat_says_of_its_load_is_kept(hub: Hub) -> None:
    """Stencila Hub, WorkerHeartbeat: time, clock, active, processed, load."""
    await hub.tell("heartbeat", "worker@busy", active=3, processed=17)
    row = await hub.row("worker@busy")
    assert (row["open_sessions"], '"load": [1.0, 1.0, 0.51]' in str(row["stats"])) == (3, True)
    samples = await hub.gates.farm.rows("SELECT load FROM samples WHERE worker_id = $1", name_of("worker@busy"))
    assert [sample["load"] for sample in samples] == [1.0]


# --- lives, and calls that overtake one another ------------------------------------------------------------


async def test_another_process_under_the_name_is_another_life(hub: Hub) -> None:
    """Stencila Hub, Worker.signature: one row for each process; here one row, and an epoch for each."""
    await hub.tell("online", "worker@lives", pid=1, timestamp=THEN)
    await hub.tell("heartbeat", "worker@lives", pid=1, timestamp=THEN + 1)
    assert (await hub.row("worker@lives"))["epoch"] == 1
    await hub.tell("heartbeat", "worker@lives", pid=2, timestamp=THEN + 9)
    assert (await hub.row("worker@lives"))["epoch"] == 2
    for what in ("heartbeat", "offline"):
        await hub.tell(what, "worker@lives", pid=1, timestamp=THEN + 2)
    row = await hub.row("worker@lives")
    assert (row["epoch"], row["connection"]) == (2, "online")


async def test_a_late_heartbeat_brings_back_nobody_who_said_goodbye(hub: Hub) -> None:
    """Stencila Hub, overseer: posts are not in order, so a heartbeat after the offline made the worker anew."""
    await hub.tell("online", "worker@late", timestamp=THEN)
    await hub.tell("offline", "worker@late", timestamp=THEN + 60)
    assert (await hub.tell("heartbeat", "worker@late", timestamp=THEN + 59)).status_code == 200
    assert await hub.connection("worker@late") == "offline"
    await hub.tell("heartbeat", "worker@late", timestamp=THEN + 61)
    assert await hub.connection("worker@late") == "online"
    await hub.tell("offline", "worker@late", timestamp=THEN + 60)
    assert await hub.connection("worker@late") == "online"


async def test_a_heartbeat_that_comes_before_its_online_is_enough(hub: Hub) -> None:
    """Stencila Hub, overseer: a heartbeat may overtake the online."""
    await hub.tell("heartbeat", "worker@early", timestamp=THEN + 1)
    await hub.tell("online", "worker@early", timestamp=THEN)
    row = await hub.row("worker@early")
    assert (row["connection"], row["epoch"]) == ("online", 1)


async def test_an_answer_to_a_remote_command_changes_no_rhythm_and_makes_no_ghost(hub: Hub) -> None:
    """Celery, remote command `heartbeat`: the answer has `freq: 5` and no figures; the Hub made a worker of it."""
    await hub.tell("online", "worker@ghost")
    reply = {"hostname": "worker@ghost", "freq": 5, "pid": 816, "sw_ident": "py-celery", "timestamp": THEN + 1}
    await hub.http.post("/api/workers/heartbeat/", json=reply, headers=hub.headers)
    rows = await hub.gates.farm.rows("SELECT heartbeat_s, epoch FROM workers WHERE foreign_id = 'worker@ghost'")
    assert [tuple(row) for row in rows] == [(60.0, 1)]


async def test_silence_counts_in_its_own_heartbeats_however_many_days_it_lasts(hub: Hub) -> None:
    """Stencila Hub, Worker.active: five heartbeats; but after a day and ten minutes it was active again."""
    await hub.tell("online", "worker@silent", freq=2.0)
    await hub.gates.farm.rows("DELETE FROM workers WHERE foreign_id <> 'worker@silent'")  # nobody falls silent with it
    for silence_s, connection in ((6, "suspect"), (11, "lost"), (86_400 + 600, "lost")):
        await hub.gates.silent(name_of("worker@silent"), silence_s)
        await hub.gates.farm.until(
            "SELECT connection = $2 FROM workers WHERE id = $1", name_of("worker@silent"), connection
        )
    await hub.tell("heartbeat", "worker@silent", freq=2.0, timestamp=THEN + 100_000)
    row = await hub.row("worker@silent")
    assert (row["connection"], row["epoch"]) == ("online", 2)


async def test_a_goodbye_of_nobody_we_know_is_no_error(hub: Hub) -> None:
    """Stencila Hub API: workers_offline answers 200 always."""
    assert (await hub.tell("offline", "worker@nobody")).status_code == 200
    assert await hub.gates.farm.rows("SELECT 1 FROM workers WHERE foreign_id = 'worker@nobody'") == []


# --- what is refused ---------------------------------------------------------------------------------------

CALLS = (("POST", "online"), ("POST", "heartbeat"), ("POST", "offline"), ("PATCH", "worker@x"))


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_who_shows_no_token_or_a_wrong_one_gets_403(hub: Hub, method: str, path: str) -> None:
    """Stencila Hub, authentication: its first authenticator has no challenge, so it is never 401."""
    basic = base64.b64encode(b"user:password").decode()
    other = (await hub.gates.credential("openwork", f"for-{method.lower()}-{path.replace('@', '-')}"))["token"]
    wrong = ["", "Token", "Token wrong", f"Bearer {hub.token}", f"Basic {basic}", "Basic !", f"Token {other}"]
    wrong.append(f"Token {hub.token[:-1]}{'0' if hub.token[-1] != '0' else '1'}")
    for header in wrong:
        answer = await hub.http.request(method, f"/api/workers/{path}/", headers={"Authorization": header})
        assert (answer.status_code, set(answer.json())) == (403, {"message", "errors"}), header


MALFORMED = [
    (b"{", ""),
    (b"[]", ""),
    (b'"x"', ""),
    (b"\xff", ""),
    (b'{"hostname": 5}', "hostname"),
    (b'{"hostname": ""}', "hostname"),
    (b'{"hostname": "a\\u0000b"}', "hostname"),
    (b'{"hostname": "\\ud800"}', ""),
    (b'{"hostname": "h", "pid": "many"}', "pid"),
    (b'{"hostname": "h", "freq": -1}', "freq"),
    (b'{"hostname": "h", "loadavg": ["high"]}', "loadavg.0"),
    (b'{"hostname": "h", "timestamp": 1e300}', "timestamp"),
    (b'{"hostname": "h", "clock": 1e400}', "clock"),
    (b'{"hostname": "%s"}' % (b"h" * 600), "hostname"),
]


@pytest.mark.parametrize("what", ["online", "heartbeat", "offline"])
async def test_a_malformed_event_is_told_field_by_field(hub: Hub, what: str) -> None:
    """Stencila Hub, errors: `{"message": …, "errors": [{"field", "message"}]}`."""
    for body, field in MALFORMED:
        answer = await hub.http.post(f"/api/workers/{what}/", content=body, headers=hub.headers)
        assert answer.status_code == 400, (body, answer.text)
        assert answer.json()["message"]
        assert field in [error["field"] for error in answer.json()["errors"]] or not field, (body, answer.text)


@pytest.mark.parametrize(
    "update", [{"queues": "all"}, {"queues": [{}]}, {"queues": [{"name": ""}]}, {"stats": []}, {"stats": {"pool": 1}}]
)
async def test_a_malformed_patch_changes_nothing(hub: Hub, update: dict[str, Any]) -> None:
    """Stencila Hub API: workers_partial_update."""
    answer = await hub.patch("worker@malformed", update)
    assert (answer.status_code, bool(answer.json()["errors"])) == (400, True)
    assert await hub.gates.farm.rows("SELECT 1 FROM workers WHERE foreign_id = 'worker@malformed'") == []


async def test_other_methods_and_paths_are_not_there(hub: Hub) -> None:
    """Stencila Hub API: four operations."""
    assert (await hub.http.get("/api/workers/online/", headers=hub.headers)).status_code == 405
    assert (await hub.http.post("/api/workers/", headers=hub.headers)).status_code == 404
    assert (await hub.http.post("/api/workers/a/b/", headers=hub.headers)).status_code == 404
    bad = await hub.http.patch("/api/workers/a%00b/", json={}, headers=hub.headers)
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (400, "hostname")


# --- words -------------------------------------------------------------------------------------------------


async def test_each_of_our_words_for_a_connection_has_one_of_theirs() -> None:
    """Stencila Hub, Worker.active: whether it is there."""
    assert set(translate.ACTIVE) == {connection.value for connection in Connection}
