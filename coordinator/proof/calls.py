"""`make bench`, fourth part: what a gateway's call costs, beside a call that does nothing, on the same server.

Fifty connections call without a pause, each for a worker of its own: Flamenco 3's `may-i-run` for a task that runs, and
OpenWork's heartbeat. Each is an event in the one inbox and is answered when that is committed, with fsync on. The
other call is as long, byte for byte, and is only read. They take short turns, because a machine's speed changes within
minutes: only neighbours in time can be compared. The figure is the median of the ratios of neighbours.
"""

import argparse
import asyncio
import base64
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple, cast

import httpx
import psutil
import uvloop

from coordinator.client import AsyncFarmhandClient
from coordinator.local.farm import LocalFarm
from coordinator.local.plan import Plan
from coordinator.local.ports import LOOPBACK
from coordinator.proof.idle_gateway import PATH
from coordinator.proof.judged import cpu_s, judged
from schemas.job import JobSpec

CONNECTIONS: Final = 50
#: The ratio that a gateway's call has to reach.
NEEDED: Final = 0.5
_WARM_UP_S: Final = 0.3


@dataclass(frozen=True)
class Call:
    """A call of one worker."""

    method: str
    path: str
    authorization: str
    body: bytes = b""

    def to_nothing(self) -> "Call":
        """The same number of bytes, for nobody."""
        return Call(self.method, PATH + "/" * (len(self.path) - len(PATH)), self.authorization, self.body)

    def written(self) -> bytes:
        """As it goes over the wire."""
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nAuthorization: {self.authorization}\r\n"
        if self.body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n"
        return head.encode() + b"\r\n" + self.body


class Caller(asyncio.Protocol):
    """One connection: calls, reads the answer, and calls again."""

    def __init__(self, call: Call) -> None:
        self._call = call.written()
        self._transport: asyncio.Transport | None = None
        self._left = b""
        self.answers = 0
        self.wrong: bytes | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._call)

    def data_received(self, data: bytes) -> None:
        """Count an answer when all of it is there."""
        self._left += data
        head, end, body = self._left.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(None, 1)[0])
        if len(body) < length or self._transport is None:
            return
        if not head.startswith(b"HTTP/1.1 200") or b'"mayKeepRunning":false' in body:
            self.wrong = self._left
            self._transport.close()
            return
        self._left = b""
        self.answers += 1
        self._transport.write(self._call)

    def close(self) -> None:
        """End."""
        if self._transport is not None:
            self._transport.close()


class Rate(NamedTuple):
    """Answers a second, and seconds of the coordinator's CPU an answer."""

    a_second: float
    cpu_s: float


async def rate(port: int, calls: Sequence[Call], seconds: float, coordinator: psutil.Process) -> Rate:
    """What so many connections get. Raises SystemExit for an answer that is not what it should be."""
    loop = asyncio.get_running_loop()
    callers = [Caller(call) for call in calls]
    for one in callers:
        await loop.create_connection(lambda one=one: one, LOOPBACK, port)  # type: ignore[misc]
    await asyncio.sleep(_WARM_UP_S)
    before, cpu, began = sum(one.answers for one in callers), cpu_s(coordinator), time.perf_counter()
    await asyncio.sleep(seconds)
    done, took = sum(one.answers for one in callers) - before, time.perf_counter() - began
    spent = cpu_s(coordinator) - cpu
    for one in callers:
        one.close()
        if one.wrong is not None:
            raise SystemExit(f"not as it should be: {one.wrong!r}")
    return Rate(done / took, spent / max(done, 1))


async def flamenco(url: str, owner: AsyncFarmhandClient) -> list[Call]:
    """As many Flamenco workers, each with a task that runs: may it go on?"""
    task = {"name": "frames", "kind": "misc", "commands": [{"name": "echo"}], "array": {"count": CONNECTIONS}}
    await owner.submit(JobSpec.model_validate({"name": "shot", "tasks": [task]}))
    calls = []
    async with httpx.AsyncClient(base_url=f"{url}/api/v3/worker", trust_env=False) as http:
        for number in range(CONNECTIONS):
            me = {"name": f"render-{number}", "supported_task_types": ["misc"]}
            secret = f"secret-{number}"
            said = {**me, "secret": secret, "platform": "linux"}
            auth = (str((await http.post("/register-worker", json=said)).json()["uuid"]), secret)
            await http.post("/sign-on", json={**me, "software_version": "3.9"}, auth=auth)
            await http.post("/state-changed", json={"status": "awake"}, auth=auth)
            given = (await http.post("/task", auth=auth)).json()["uuid"]
            basic = base64.b64encode(":".join(auth).encode()).decode()
            calls.append(Call("GET", f"/api/v3/worker/task/{given}/may-i-run", f"Basic {basic}"))
    return calls


async def openwork(owner: AsyncFarmhandClient) -> list[Call]:
    """As many OpenWork workers, each with a heartbeat."""
    sent = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = json.dumps({"isActiveRecently": True, "sentAt": sent, "lastActivityAt": sent, "openSessionCount": 3})
    made = [(await owner.create_credential("openwork", f"worker-{number}")).shown for number in range(CONNECTIONS)]
    return [
        Call("POST", f"/v1/workers/{one['workerId']}/activity-heartbeat", f"Bearer {one['token']}", body.encode())
        for one in made
    ]


async def measure(farm: LocalFarm, rounds: int, seconds: float) -> bool:
    """Measure in turns and print, with the coordinator's CPU a call; whether each reaches what it has to."""
    async with farm.client() as owner:
        kinds = {"Flamenco 3 may-i-run": await flamenco(farm.url, owner), "OpenWork heartbeat": await openwork(owner)}
    port = int(farm.url.rpartition(":")[2])
    (coordinator,) = (psutil.Process(part.pid) for part in farm.coordinators.values())
    found: dict[str, list[tuple[Rate, Rate]]] = {name: [] for name in kinds}
    for number in range(rounds):
        for name, calls in kinds.items():
            turns = [calls, [call.to_nothing() for call in calls]]
            ahead = number % 2
            rates = [await rate(port, turns[turn], seconds, coordinator) for turn in (ahead, 1 - ahead)]
            found[name].append((rates[ahead], rates[1 - ahead]))
    load = os.getloadavg()[0]
    print(f"{CONNECTIONS} connections, {rounds} rounds, {os.cpu_count()} cores at a load of {load:.1f}, "
          f"Python {platform.python_version()}")  # fmt: skip
    return all([_told(name, pairs) for name, pairs in found.items()])  # noqa: C419 - each is told


def _told(name: str, pairs: Sequence[tuple[Rate, Rate]]) -> bool:
    """Print what was found; whether it is enough."""
    for what, rates in zip((name, "as long, only read"), zip(*pairs, strict=True), strict=True):
        a_second, cpu = (statistics.median(one) for one in zip(*rates, strict=True))
        print(f"{what:22} {a_second:7,.0f} a second, {cpu * 1e6:5,.0f} us of the coordinator's CPU each")
    ratios = [ours.a_second / nothing.a_second for ours, nothing in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"{'ratio':22} {middle:7.2f} (half of the rounds between {low:.2f} and {high:.2f})", flush=True)
    return middle >= NEEDED


async def main(rounds: int, seconds: float) -> None:
    """Measure on a farm of its own."""
    plan = Plan(
        agents=0,
        settings={"FARMHAND_GATEWAYS": "flamenco_v3,openwork,nothing", "FARMHAND_LOG_LEVEL": "warning"},
        coordinator=(sys.executable, "-P", "-m", "coordinator.proof.idle_gateway"),
    )
    await judged(plan, lambda farm: measure(farm, rounds, seconds), f"less than {NEEDED} of a call that does nothing")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(options.rounds, options.seconds))
