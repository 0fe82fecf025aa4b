"""A Flamenco worker as its manager sees it: one HTTP call for each operation, made by hand."""

from typing import Any
from uuid import uuid4

import httpx


class Worker:
    """A worker with the credentials that it has got by registering."""

    def __init__(self, http: httpx.AsyncClient, name: str = "", types: tuple[str, ...] = ("misc",)) -> None:
        self.http = http
        self.name = name or f"render-{uuid4().hex[:6]}"
        self.types = [*types]
        self.secret = uuid4().hex * 2
        self.uuid = ""

    async def register(self, **changes: Any) -> httpx.Response:
        """Make itself known."""
        said = {
            "secret": self.secret,
            "platform": "linux",
            "supported_task_types": self.types,
            "name": self.name,
        } | changes
        answer = await self.http.post("/api/v3/worker/register-worker", json=said)
        if answer.status_code == 200:
            self.uuid = answer.json()["uuid"]
        return answer

    async def call(self, method: str, path: str, **what: Any) -> httpx.Response:
        """Any operation of a worker."""
        return await self.http.request(method, f"/api/v3/worker{path}", auth=(self.uuid, self.secret), **what)

    async def sign_on(self, **changes: Any) -> httpx.Response:
        """Begin."""
        said = {"name": self.name, "supported_task_types": self.types, "software_version": "3.8"} | changes
        return await self.call("POST", "/sign-on", json=said)

    async def sign_off(self) -> httpx.Response:
        """Go."""
        return await self.call("POST", "/sign-off")

    async def state(self) -> httpx.Response:
        """Ask what to be."""
        return await self.call("GET", "/state")

    async def changed(self, status: str) -> httpx.Response:
        """Be something else."""
        return await self.call("POST", "/state-changed", json={"status": status})

    async def task(self) -> httpx.Response:
        """Ask for a task."""
        return await self.call("POST", "/task")

    async def update(self, task: str, **said: Any) -> httpx.Response:
        """Say what has become of it."""
        return await self.call("POST", f"/task/{task}", json=said)

    async def may_run(self, task: str) -> httpx.Response:
        """Ask whether to go on."""
        return await self.call("GET", f"/task/{task}/may-i-run")

    async def awake(self) -> "Worker":
        """Registered, signed on, awake."""
        assert (await self.register()).status_code == 200
        assert (await self.sign_on()).json() == {"status_requested": "awake"}
        assert (await self.changed("awake")).status_code == 204
        return self

    async def given(self) -> dict[str, Any]:
        """The task that it is given."""
        answer = await self.task()
        assert answer.status_code == 200, answer.text
        task: dict[str, Any] = answer.json()
        return task


class Polling(Worker):
    """Runs what it is given, as their worker does: an update that is not answered waits, in order, for the next."""

    def __init__(self, http: httpx.AsyncClient, name: str) -> None:
        super().__init__(http, name, ("echo",))
        self.waiting: list[tuple[str, dict[str, Any]]] = []

    async def say(self, task: str, **said: Any) -> None:
        """Send an update, after those that wait."""
        self.waiting.append((task, said))
        await self.flush()

    async def flush(self) -> None:
        """Send what waits, until one is not answered; any answer is the last word."""
        while self.waiting:
            task, said = self.waiting[0]
            try:
                await self.update(task, **said)
            except httpx.TransportError:
                return
            del self.waiting[0]

    async def run(self) -> bool:
        """One turn of its loop; whether there was a task."""
        answer = await self.task()
        if answer.status_code == 423:
            await self.changed(answer.json()["status_requested"])
        if answer.status_code != 200:
            return False
        uuid = answer.json()["uuid"]
        await self.say(uuid, taskStatus="active", activity="Started")
        if (await self.may_run(uuid)).json()["mayKeepRunning"]:
            await self.say(uuid, taskStatus="completed", activity="Completed", log="done\n")
        return True
