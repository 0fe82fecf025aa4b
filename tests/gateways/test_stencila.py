"""Stencila Hub's workers API, call by call. Each case names what it was taken from."""

from typing import Any

import httpx
import pytest

from coordinator.gateways.stencila.translate import name_of
from tests.gateways.conftest import Gates

#: Celery, worker events: what a worker of the Hub sends, as its overseer hands it on.
EVENT: dict[str, Any] = {
    "hostname": "worker-1601441256@host", "utcoffset": 0, "pid": 816, "clock": 2, "freq": 60.0, "active": 0,
    "processed": 0, "loadavg": [1.0, 1.0, 0.51], "sw_ident": "py-celery", "sw_ver": "4.4.7", "sw_sys": "Linux",
    "timestamp": 1795307095.7359443, "type": "worker-heartbeat", "local_received": 1795307095.74,
}  # fmt: skip
NAME = name_of(EVENT["hostname"])


class Hub:
    """A client of the Hub's API, with a token."""

    def __init__(self, gates: Gates, http: httpx.AsyncClient, token: str) -> None:
        self.gates = gates
        self.http = http
        self.headers = {"Authorization": f"Token {token}"}
        self.token = token

    async def post(self, what: str, event: dict[str, Any] | None = None, **changes: Any) -> httpx.Response:
        """Send an event (None: nothing at all)."""
        path = f"/api/workers/{what}/"
        if event is None:
            return await self.http.post(path, headers=self.headers)
        return await self.http.post(path, json={**event, **changes}, headers=self.headers)


@pytest.fixture
async def hub(gates: Gates, http: httpx.AsyncClient) -> Hub:
    """An overseer."""
    return Hub(gates, http, (await gates.credential("stencila", "overseer"))["token"])


async def test_a_worker_comes_is_heard_and_goes(hub: Hub) -> None:
    """Stencila Hub API: workers_online, workers_heartbeat, workers_offline; 200, nothing in the body."""
    for what, connection in (("online", "online"), ("heartbeat", "online"), ("offline", "offline")):
        answer = await hub.post(what, EVENT)
        assert (answer.status_code, answer.content) == (200, b""), answer.text
        assert (await hub.gates.worker(NAME))["connection"] == connection
    worker = await hub.gates.worker(NAME)
    assert worker["protocol"] == "stencila"
    assert (worker["foreign_id"], worker["software"]) == (EVENT["hostname"], "py-celery 4.4.7")
    assert (worker["heartbeat_s"], worker["lost_after_s"]) == (60.0, 300.0)
