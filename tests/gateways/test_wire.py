"""Calls as they come over the wire, byte by byte: what their libraries do, and their documents do not say."""

import asyncio
import base64
import gzip
import json
from dataclasses import dataclass, field
from typing import Any, Self

import pytest

from coordinator.gateways.flamenco_v3 import translate
from coordinator.gateways.openwork.routes import fresh_typeid
from tests.gateways.conftest import Gates

pytestmark = pytest.mark.asyncio(loop_scope="module")

NONE: dict[str, str] = {}
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TASK = f"/api/v3/worker/task/{translate.task_uuid(1, 1)}"


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes = b""

    def json(self) -> Any:
        """Its body, which is said to be JSON."""
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)


@dataclass
class Line:
    """A connection, on which bytes are sent as they are."""

    gates: Gates
    credential: dict[str, str] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        port = self.gates.farm.coordinator.settings.http_port
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def ask(
        self, call: str, body: bytes | None = None, headers: dict[str, str] = NONE, version: str = "1.1"
    ) -> Answer:
        """Send a call, with the length of its *body* unless there is none; what is answered."""
        method, path = call.split(" ")
        said = {"Host": "127.0.0.1", **self.credential}
        if body is not None and "Transfer-Encoding" not in headers:
            said["Content-Length"] = str(len(body))
        lines = [f"{method} {path} HTTP/{version}", *(f"{name}: {value}" for name, value in (said | headers).items())]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        return await self.answer(head=method == "HEAD")

    async def answer(self, *, head: bool = False) -> Answer:
        """The next answer, to its last byte."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        assert "location" not in headers, "nobody is sent elsewhere"
        assert "content-encoding" not in headers
        answer = Answer(int(lines[0].split()[1]), headers)
        if not head and "content-length" in headers:
            answer.body = await self.reader.readexactly(int(headers["content-length"]))
        return answer


def in_pieces(body: bytes) -> bytes:
    """The *body* as somebody sends it who does not know its length before."""
    pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])


async def signed_on(line: Line, name: str) -> None:
    """A Flamenco 3 worker that is awake."""
    said = {"secret": "ab" * 32, "platform": "linux", "supported_task_types": ["misc"], "name": name}
    # Their worker has no credentials yet, and shows an empty name and an empty password.
    line.credential = {"Authorization": "Basic " + base64.b64encode(b":").decode()}
    registered = (await line.ask("POST /api/v3/worker/register-worker", json.dumps(said).encode(), JSON)).json()
    assert registered["name"] == name
    basic = base64.b64encode(f"{registered['uuid']}:{said['secret']}".encode()).decode()
    line.credential = {"Authorization": f"Basic {basic}"}
    said = {"name": name, "supported_task_types": ["misc"], "software_version": "3.9-beta1 (v3.8-12-gabc)"}
    answer = await line.ask(
        "POST /api/v3/worker/sign-on", in_pieces(json.dumps(said).encode()), JSON | {"Transfer-Encoding": "chunked"}
    )
    assert answer.json() == {"status_requested": "awake"}
    answer = await line.ask("POST /api/v3/worker/state-changed", b'{"status":"awake"}', JSON)
    assert (answer.status, answer.body) == (204, b"")


async def test_a_flamenco_3_worker_is_understood_in_whatever_form_its_library_sends(shared_gates: Gates) -> None:
    """Go, net/http: a body with a length, in pieces, or none at all; one connection for all; names in any script."""
    async with Line(shared_gates) as line:
        await signed_on(line, "Rechner S\u00fcd 3")
        polls: list[tuple[bytes | None, dict[str, str]]] = [
            (None, {}), (b"", JSON), (in_pieces(b""), {"Transfer-Encoding": "chunked"})
        ]  # fmt: skip
        for body, headers in polls:
            answer = await line.ask("POST /api/v3/worker/task", body, headers)
            assert (answer.status, "content-type" in answer.headers) == (204, False)
        for call, status in (("HEAD /api/v3/worker/state", 405), ("OPTIONS /api/v3/worker/state", 405)):
            assert (await line.ask(call)).status == status
        for call in ("GET /api/v3/worker/state/", "POST /api/v3/worker/task/", "GET /api/v3/openapi3.json"):
            answer = await line.ask(call)
            assert (answer.status, answer.json()["code"]) == (404, 404)
        packed = gzip.compress(b'{"status":"awake"}')
        answer = await line.ask("POST /api/v3/worker/state-changed", packed, JSON | {"Content-Encoding": "gzip"})
        assert (answer.status, answer.json()["code"]) == (400, 400)
        answer = await line.ask("GET /api/v3/version", headers={"Accept-Encoding": "gzip"})
        assert answer.json()["name"] == "Farmhand"


async def test_who_asks_whether_to_go_on_is_told_and_what_is_refused_early_leaves_the_line_usable(
    shared_gates: Gates,
) -> None:
    """RFC 9110, 10.1.1 (Expect: 100-continue); Go, net/http: the next call goes over the same connection."""
    async with Line(shared_gates) as line:
        await signed_on(line, "expectant")
        wait = {"Expect": "100-continue", "Content-Length": "2"}
        assert (await line.ask(f"POST {TASK}", headers=JSON | wait)).status == 100
        line.writer.write(b"{}")
        assert (await line.answer()).json()["code"] == 404
        refused = await line.ask(f"POST {TASK}/output-produced", b"x" * 2_000_000, {"Content-Type": "image/gif"})
        assert refused.json()["code"] == 415, "before a byte of it is read"
        assert (await line.ask("GET /api/v3/worker/state")).status == 204
        line.credential = {}
        forbidden = await line.ask("POST /api/v3/worker/sign-on", b"x" * 1_000_000, JSON)
        assert (forbidden.status, list(forbidden.json())) == (403, ["message"])
        wait = {"Expect": "100-continue", "Content-Length": "26214400", "Content-Type": "image/gif"}
        assert (await line.ask(f"POST {TASK}/output-produced", headers=wait)).status == 403, "nothing is asked for"


async def test_a_flamenco_1_worker_speaks_http_1_0(shared_gates: Gates) -> None:
    """Flamenco 1 worker: it looks for /info, whatever is answered, then registers by HTTP/1.0; then by HTTP/1.1."""
    async with Line(shared_gates) as line:
        assert (await line.ask("GET /info", headers={"User-Agent": "python-requests/2.3.0"})).status == 404
    async with Line(shared_gates) as line:
        body = b"port=5007&hostname=caf%C3%A9+2.local&system=Linux+3.2"
        answer = await line.ask("POST /workers", body, FORM, "1.0")
        assert (answer.status, answer.body) == (204, b"")
        assert await line.reader.read() == b"", "the connection is over"
    async with Line(shared_gates) as line:
        listed = (await line.ask("GET /workers")).json()
        assert listed["caf\u00e9 2.local"]["port"] == 5007
        assert (await line.ask("GET /workers/")).json()["status"] == 404
        assert (await line.ask("POST /tasks/thumbnails", b"")).json()["status"] == 405
        stranger = await line.ask("GET /workers", headers={"Host": "farm.example.com:8601"})
        assert (stranger.status, "private names" in stranger.json()["message"]) == (421, True)


async def test_an_openwork_sender_is_heard_as_its_runtime_calls(shared_gates: Gates) -> None:
    """OpenWork, sender: `fetch` of Node, with its headers; times with milliseconds, a field that is not documented."""
    typeid = fresh_typeid()
    token = (await shared_gates.credential("openwork", typeid))["token"]
    said = {"sentAt": "2026-01-05T10:00:00.123Z", "isActiveRecently": False, "lastActivityAt": None,
            "openSessionCount": 3, "busySessionCount": 0}  # fmt: skip
    node = {"Accept": "*/*", "Accept-Language": "*", "Sec-Fetch-Mode": "cors", "User-Agent": "node",
            "Accept-Encoding": "gzip, deflate", "Authorization": f"Bearer {token}"}  # fmt: skip
    async with Line(shared_gates) as line:
        path = f"/v1/workers/{typeid}/activity-heartbeat"
        for headers in (node, {**node, "Transfer-Encoding": "chunked"}):
            body = json.dumps(said).encode()
            body = in_pieces(body) if "Transfer-Encoding" in headers else body
            answer = (await line.ask(f"POST {path}", body, JSON | headers)).json()
            assert answer["lastHeartbeatAt"] == said["sentAt"]
        assert (await line.ask(f"POST {path}/", b"{}", JSON)).json()["error"] == "not_found"


async def test_names_in_a_path_are_decoded_once(shared_gates: Gates) -> None:
    """Stencila Hub, clients: `quote(hostname, safe='')` in the path of a PATCH."""
    token = (await shared_gates.credential("stencila", "overseer"))["token"]
    async with Line(shared_gates, {"Authorization": f"Token {token}"}) as line:
        for path, name in (("w%C3%BCrm%201%40h1", "w\u00fcrm 1@h1"), ("a%2525b", "a%25b"), ("a+b@h", "a+b@h")):
            for slash in ("", "/"):
                answer = await line.ask(f"PATCH /api/workers/{path}{slash}", b"{}", JSON)
                assert answer.json() == {"hostname": name, "queues": []}
