"""OpenWork's activity heartbeat, check by check. Each case names what it was taken from."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from coordinator.client import AsyncFarmhandClient
from coordinator.domain.worker import Connection
from coordinator.gateways.openwork import translate
from coordinator.gateways.openwork.routes import fresh_typeid
from coordinator.gateways.openwork.wire import is_typeid
from tests.gateways.conftest import Gates

pytestmark = pytest.mark.asyncio(loop_scope="module")

MANY = 9_007_199_254_740_991


class Sender:
    """A worker that says that it lives."""

    def __init__(self, gates: Gates, http: httpx.AsyncClient, typeid: str, token: str) -> None:
        self.gates = gates
        self.http = http
        self.id = typeid
        self.token = token
        self.name = translate.name_of(typeid)
        self.path = f"/v1/workers/{typeid}/activity-heartbeat"

    async def beat(
        self, *, active: object = True, headers: dict[str, str] | None = None, **fields: Any
    ) -> httpx.Response:
        """Send a heartbeat."""
        headers = {"Authorization": f"Bearer {self.token}"} if headers is None else headers
        return await self.http.post(self.path, json={"isActiveRecently": active, **fields}, headers=headers)

    async def row(self) -> dict[str, Any]:
        """The worker as it is here."""
        return await self.gates.worker(self.name)


@pytest_asyncio.fixture(loop_scope="module")
async def sender(shared_gates: Gates, shared_http: httpx.AsyncClient) -> Sender:
    """A worker of its own, known and not yet heard."""
    typeid = fresh_typeid()
    made = await shared_gates.credential("openwork", typeid)
    assert made["workerId"] == typeid
    return Sender(shared_gates, shared_http, typeid, made["token"])


def told(at: datetime) -> str:
    """A time as the document writes it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- what succeeds -----------------------------------------------------------------------------------------


async def test_a_heartbeat_is_accepted_and_its_times_are_kept(sender: Sender) -> None:
    """OpenWork, "Record worker heartbeat": 200, the times as stored, the others as sent."""
    assert (await sender.row())["connection"] == "offline"
    answer = await sender.beat(
        sentAt="2023-11-07T05:31:56Z", lastActivityAt="2023-11-07T05:30:00.5Z", openSessionCount=MANY
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {
        "ok": True,
        "workerId": sender.id,
        "isActiveRecently": True,
        "openSessionCount": MANY,
        "lastHeartbeatAt": "2023-11-07T05:31:56.000Z",
        "lastActiveAt": "2023-11-07T05:30:00.500Z",
    }
    row = await sender.row()
    assert (row["connection"], row["protocol"], row["foreign_id"]) == ("online", "openwork", sender.id)
    assert row["open_sessions"] == MANY


async def test_only_the_one_field_is_needed_and_others_are_ignored(sender: Sender) -> None:
    """OpenWork: `sentAt`, `lastActivityAt`, `openSessionCount` are optional; newer senders say `busySessionCount`."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    answer = (await sender.beat(active=False, busySessionCount=3)).json()
    assert (answer["openSessionCount"], answer["lastActiveAt"], answer["isActiveRecently"]) == (None, None, False)
    assert before < datetime.fromisoformat(answer["lastHeartbeatAt"]) < datetime.now(UTC) + timedelta(seconds=1)
    answer = (await sender.beat(lastActivityAt=None, openSessionCount=2.0)).json()
    assert (answer["openSessionCount"], answer["lastActiveAt"]) == (2, answer["lastHeartbeatAt"])


async def test_what_holds_it_are_its_busy_sessions_where_it_tells_them_from_open_ones(sender: Sender) -> None:
    """OpenWork, sender: `openSessionCount` is every session that there is, `busySessionCount` those at work."""
    for busy, kept in ((None, 7), (0, 0), (2, 2), ("2", 7)):
        answer = await sender.beat(active=False, openSessionCount=7, busySessionCount=busy)
        assert (answer.status_code, answer.json()["openSessionCount"]) == (200, 7)
        assert (await sender.row())["open_sessions"] == kept, busy


async def test_times_never_go_back_and_who_was_not_active_was_not(sender: Sender) -> None:
    """OpenWork, heartbeats: the newest of what was kept and what is said; late and repeated ones are harmless."""
    newest = await sender.beat(sentAt="2024-02-29T12:00:00Z", lastActivityAt="2024-02-29T11:59Z")
    for fields in (
        {"sentAt": "2024-02-29T11:00:00Z", "lastActivityAt": "2024-02-29T10:00:00Z"},
        {"sentAt": "2024-02-29T12:00:00Z", "lastActivityAt": "2024-02-29T11:59:00Z"},
        {"active": False, "sentAt": "2024-02-29T11:58:00Z", "lastActivityAt": "2024-02-29T12:00:00Z"},
    ):
        answer = (await sender.beat(**fields)).json()
        assert answer["lastHeartbeatAt"] == newest.json()["lastHeartbeatAt"]
        assert answer["lastActiveAt"] == "2024-02-29T11:59:00.000Z"


async def test_times_to_come_count_as_now(sender: Sender) -> None:
    """OpenWork kept them, so that a fast clock made a worker that could never idle out."""
    answer = (await sender.beat(sentAt="9999-12-31T23:59:59.999999999Z", lastActivityAt="9999-12-31T23:59:59Z")).json()
    now = datetime.now(UTC)
    for key in ("lastHeartbeatAt", "lastActiveAt"):
        assert now - timedelta(minutes=1) < datetime.fromisoformat(answer[key]) <= now + timedelta(seconds=1)


async def test_a_slow_clock_makes_nobody_idle(sender: Sender) -> None:
    """OpenWork, idle stop: it compares the worker's word with its own clock."""
    await sender.beat(active=False)
    await sender.gates.farm.rows(
        "UPDATE worker_liveness SET last_activity_at = NULL, told_at = NULL WHERE worker_id = $1", sender.name
    )
    at = datetime.now(UTC) - timedelta(hours=9)
    answer = (await sender.beat(sentAt=told(at), lastActivityAt=told(at - timedelta(minutes=2)))).json()
    assert answer["lastActiveAt"] == told(at - timedelta(minutes=2))
    (row,) = await sender.gates.farm.rows(
        "SELECT farm_now() - last_activity_at AS ago FROM worker_liveness WHERE worker_id = $1", sender.name
    )
    assert timedelta(minutes=2) <= row["ago"] < timedelta(minutes=3)


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER {}", None])
async def test_the_token_comes_in_either_header(sender: Sender, form: str | None) -> None:
    """OpenWork: `Authorization: Bearer`, the scheme in any case, or `x-den-worker-heartbeat-token`."""
    headers = {"Authorization": form.format(sender.token)} if form else {"X-Den-Worker-Heartbeat-Token": sender.token}
    assert (await sender.beat(headers=headers)).status_code == 200


# --- what is refused, in order -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typeid",
    [
        "x",
        "wrk_",
        "wrk_01h455vb4pex5vsknk084sn02",
        "wrk_01h455vb4pex5vsknk084sn02qq",
        "wrk_81h455vb4pex5vsknk084sn02q",
        "wrk_01H455VB4PEX5VSKNK084SN02Q",
        "wrk_01h455vb4pex5vsknk084sn02l",
        "wki_01h455vb4pex5vsknk084sn02q",
        "%00",
    ],
)
async def test_what_is_no_typeid_is_malformed_before_anything_else(shared_http: httpx.AsyncClient, typeid: str) -> None:
    """OpenWork, path: `wrk_` and 26 characters of base 32 that hold 128 bits."""
    answer = await shared_http.post(f"/v1/workers/{typeid}/activity-heartbeat", json={})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert answer.json()["details"][0]["path"] == ["id"]


BAD_BODIES: list[tuple[Any, str]] = [
    ({}, "isActiveRecently"),
    ({"isActiveRecently": "true"}, "isActiveRecently"),
    ({"isActiveRecently": 1}, "isActiveRecently"),
    ({"isActiveRecently": None}, "isActiveRecently"),
    *(
        ({"isActiveRecently": True, "sentAt": at}, "sentAt")
        for at in (
            None, 5, "", "2023-11-07", "2023-11-07T05:31:56", "2023-11-07T05:31:56+00:00", "2023-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z", "2023-11-31T00:00:00Z", "2023-11-07T24:00:00Z", "2023-11-07T05:31:60Z",
            "2023-11-07T05:31:56.Z", "2023-11-07T05:31:56Z\n", "\uff12\uff10\uff12\uff13-11-07T05:31:56Z",
        )
    ),
    ({"isActiveRecently": True, "lastActivityAt": "yesterday"}, "lastActivityAt"),
    *(
        ({"isActiveRecently": True, "openSessionCount": count}, "openSessionCount")
        for count in (None, -1, 0.5, "3", True, MANY + 1, 1e300)
    ),
]  # fmt: skip


async def test_a_malformed_body_is_told_before_the_token_is_looked_at(sender: Sender) -> None:
    """OpenWork, body: 400 `invalid_request` with details; the token comes after."""
    for body, field in BAD_BODIES:
        answer = await sender.http.post(sender.path, json=body)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), body
        assert answer.json()["details"][0]["path"] == [field], (body, answer.text)
    for content in (b"", b"{", b"[]", b"null", b'{"isActiveRecently": true, "openSessionCount": NaN}'):
        headers = {"Content-Type": "application/json"}
        assert (await sender.http.post(sender.path, content=content, headers=headers)).status_code == 400, content
    assert (await sender.http.post(sender.path, content=b'{"isActiveRecently": true}')).status_code == 400
    for kind, status in (("application/json;charset=utf-8", 401), ("application/x.y+json", 401), ("text/json", 400)):
        answer = await sender.http.post(
            sender.path, content=b'{"isActiveRecently": true}', headers={"Content-Type": kind}
        )
        assert answer.status_code == status, kind
    huge = await sender.http.post(sender.path, json={"isActiveRecently": True, "more": "x" * 300_000})
    assert (huge.status_code, huge.json()["error"]) == (413, "payload_too_large")
    assert (await sender.row())["told_at"] is None


async def test_no_token_or_one_that_is_not_this_workers_is_unauthorized(sender: Sender) -> None:
    """OpenWork: the row must match worker, scope, token and not be revoked; an unknown worker is 401, not 404."""
    other = await sender.gates.credential("openwork", fresh_typeid())
    hub = await sender.gates.credential("stencila", f"hub-{sender.name}")
    wrong = [
        "",
        "Bearer",
        f"Basic {sender.token}",
        "Bearer wrong",
        f"Bearer {other['token']}",
        f"Bearer {hub['token']}",
    ]
    for header in wrong:
        answer = await sender.beat(headers={"Authorization": header})
        assert (answer.status_code, answer.json()) == (401, {"error": "unauthorized"}), header
    stranger = Sender(sender.gates, sender.http, fresh_typeid(), sender.token)
    assert (await stranger.beat()).status_code == 401


async def test_a_token_that_is_revoked_is_unauthorized_and_one_that_outlives_its_worker_finds_none(
    sender: Sender,
) -> None:
    """OpenWork: 401 for a revoked token, 404 `worker_not_found` when only the worker is gone."""
    async with AsyncFarmhandClient(sender.gates.url) as client:
        await client.remove_worker(sender.name)
        answer = await sender.beat()
        assert (answer.status_code, answer.json()) == (404, {"error": "worker_not_found"})
        (row,) = await sender.gates.farm.rows("SELECT name FROM access_tokens WHERE subject = $1", sender.id)
        await client.revoke_token(row["name"])
        await sender.gates.farm.until("SELECT revoked_at IS NOT NULL FROM access_tokens WHERE subject = $1", sender.id)
    fresh = Sender(sender.gates, sender.http, sender.id, sender.token)
    while (answer := await fresh.beat()).status_code == 404:  # believed for a second
        pass
    assert answer.status_code == 401


async def test_other_methods_and_paths_are_not_there(sender: Sender) -> None:
    """OpenWork: one operation."""
    wrong, nowhere = await sender.http.get(sender.path), await sender.http.post(f"/v1/workers/{sender.id}", json={})
    assert (wrong.status_code, wrong.json()["error"]) == (405, "method_not_allowed")
    assert (nowhere.status_code, nowhere.json()["error"]) == (404, "not_found")


# --- its life ----------------------------------------------------------------------------------------------


async def test_silence_loses_it_after_three_heartbeats_and_the_next_brings_it_back(sender: Sender) -> None:
    """OpenWork, sender: every 300 s; nothing there ever noticed one that had died."""
    await sender.beat()
    for silence_s, connection in ((601, "online"), (700, "suspect"), (899, "suspect"), (901, "lost")):
        await sender.gates.silent(sender.name, silence_s)
        await sender.gates.farm.until("SELECT connection = $2 FROM workers WHERE id = $1", sender.name, connection)
    await sender.beat()
    row = await sender.row()
    assert (row["connection"], row["epoch"]) == ("online", 3)


async def test_any_name_gets_a_typeid_and_is_shown_what_its_sender_needs(shared_gates: Gates) -> None:
    """OpenWork, TypeID: `wrk_` and a UUID of version 7 in base 32."""
    made = await shared_gates.credential("openwork", "build-machine")
    assert is_typeid(made["workerId"])
    assert set(made) == {"token", "workerId"}


async def test_each_status_word_is_mapped_or_named_as_unmappable() -> None:
    """OpenWork, worker status: provisioning, healthy, failed, stopped."""
    assert set(translate.STATUS) == set(Connection)
    assert set(translate.STATUS.values()) | translate.UNMAPPABLE == {"provisioning", "healthy", "failed", "stopped"}


async def test_the_document_says_what_theirs_says(shared_http: httpx.AsyncClient) -> None:
    """OpenWork, "Record worker heartbeat": the fields, which are required, and their bounds."""
    document = (await shared_http.get("/gateways/openwork/openapi.json")).json()
    operation = document["paths"]["/v1/workers/{id}/activity-heartbeat"]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["isActiveRecently"]
    assert body["properties"]["openSessionCount"] == {"type": "integer", "minimum": 0, "maximum": MANY}
    assert set(operation["responses"]) == {"200", "400", "401", "404", "413", "503"}
