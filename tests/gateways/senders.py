"""Workers of other farms, and those that speak for them, as processes that can be killed.

`python -m tests.gateways.senders KIND URL …` lives until it is killed; it prints a line for each answer.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import httpx

from tests.gateways.flamenco_v1.scripted import Worker as Pushed
from tests.gateways.flamenco_v3.client import Worker as Polling


def say(line: str) -> None:
    """Tell who has started it."""
    print(line, flush=True)


async def flamenco_v3(url: str, name: str, uuid: str, secret: str, works: str) -> None:
    """A worker with the credentials that it was given when it registered. If it *works* it ends its tasks, too."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        worker = Polling(http, name)
        worker.uuid, worker.secret = uuid, secret
        assert (await worker.sign_on()).status_code == httpx.codes.OK
        assert (await worker.changed("awake")).status_code == httpx.codes.NO_CONTENT
        while True:
            answer = await worker.task()
            if answer.status_code != httpx.codes.OK:
                await asyncio.sleep(0.1)  # its poll
                continue
            task = answer.json()["uuid"]
            await worker.update(task, taskStatus="active")
            say(task)
            if not works:
                await asyncio.Event().wait()
            await worker.update(task, taskStatus="completed")


async def flamenco_v1(url: str, hostname: str, works: str) -> None:
    """A worker that is pushed its tasks."""
    async with Pushed(url, hostname) as worker:
        assert (await worker.register()).status_code == httpx.codes.NO_CONTENT
        for count in range(1, 1000):
            task = (await worker.given(count))["task_id"]
            say(task)
            if not works:
                await asyncio.Event().wait()
            await worker.says(task, status="finished")


async def stencila(url: str, token: str) -> None:
    """An overseer, of one Celery worker."""
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Token {token}"}, timeout=60) as http:

        async def beat(now: datetime) -> httpx.Response:
            event = {"hostname": "celery@a", "pid": 1, "freq": 60.0, "active": 1, "timestamp": now.timestamp()}
            return await http.post("/api/workers/heartbeat", json=event)

        await _beats(beat)


async def openwork(url: str, token: str, typeid: str) -> None:
    """What tells of one worker's activity."""
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:

        async def beat(now: datetime) -> httpx.Response:
            body = {"isActiveRecently": True, "sentAt": now.isoformat().replace("+00:00", "Z")}
            return await http.post(f"/v1/workers/{typeid}/activity-heartbeat", json=body)

        await _beats(beat)


async def _beats(beat: Callable[[datetime], Awaitable[httpx.Response]]) -> None:
    while True:
        now = datetime.now(UTC)
        assert (await beat(now)).status_code == httpx.codes.OK
        say(now.isoformat())


KINDS: Final[dict[str, Callable[..., Awaitable[None]]]] = {
    "flamenco_v3": flamenco_v3,
    "flamenco_v1": flamenco_v1,
    "stencila": stencila,
    "openwork": openwork,
}

if __name__ == "__main__":
    asyncio.run(KINDS[sys.argv[1]](*sys.argv[2:]))  # type: ignore[arg-type]
