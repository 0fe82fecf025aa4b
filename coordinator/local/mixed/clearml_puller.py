"""A small ClearML agent, for demonstrations and tests of farms whose workers speak several protocols.

    python -m coordinator.local.mixed.clearml_puller --queue urgent default

It reads the same environment as `clearml-agent daemon` (CLEARML_API_HOST, CLEARML_API_ACCESS_KEY,
CLEARML_API_SECRET_KEY, CLEARML_WORKER_ID), makes its calls in the same order and form, and knows as much of the farm:
nothing but HTTP. A task is its script, run by this Python with no environment made for it. What it prints goes to its
log; it is ended when the task is not this agent's any more. SIGTERM ends all and unregisters.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any, Final

import httpx
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

_NOT_REGISTERED: Final = 1004
_RETRY_S: Final = 1.0


class AgentSettings(BaseSettings):
    """What an agent is told: the names are those of the real one."""

    model_config = SettingsConfigDict(env_prefix="CLEARML_")

    api_host: str
    api_access_key: str
    api_secret_key: str
    worker_id: Annotated[str, Field(min_length=1)]
    agent_queue_poll_freq_sec: Annotated[float, Field(gt=0)] = 0.5
    agent_status_report_freq_sec: Annotated[float, Field(gt=0)] = 30.0


class CallError(Exception):
    """The server said no."""

    def __init__(self, endpoint: str, meta: dict[str, Any]) -> None:
        """*meta* is that of the answer."""
        self.code: int = meta["result_code"]
        self.subcode: int = meta["result_subcode"]
        super().__init__(f"{endpoint}: {self.code}/{self.subcode} {meta['result_msg']}")


class ClearmlPuller:
    """One agent. `done` are the tasks that it has ended, with how: completed, failed, or aborted by the farm."""

    def __init__(self, settings: AgentSettings, queues: Sequence[str]) -> None:
        """Pull from *queues*, by name, in this order."""
        self._settings = settings
        self._names = list(queues)
        self._http = httpx.AsyncClient(base_url=settings.api_host, timeout=30, trust_env=False)
        self._queues: list[str] = []
        self._current: tuple[str, str] | None = None
        self.done: list[tuple[str, str]] = []

    async def run(self) -> None:
        """Work until cancelled; then end what runs, and unregister."""
        async with self._http, self._registered(), asyncio.TaskGroup() as group:
            group.create_task(self._report_now_and_then())
            group.create_task(self._pull())

    @asynccontextmanager
    async def _registered(self) -> AsyncIterator[None]:
        await self._again(self._login)
        self._queues = [await self._again(self._queue_id, name) for name in self._names]
        await self._again(self._register)
        try:
            yield
        finally:
            with suppress(httpx.HTTPError, CallError):
                await self._call("workers.unregister", worker=self._settings.worker_id, queues=self._queues)

    # --- calls -------------------------------------------------------------------------------------------------

    async def _again(self, what: Any, *given: Any) -> Any:
        """Try until the server is there, as the real one does."""
        while True:
            try:
                return await what(*given)
            except httpx.HTTPError:
                await asyncio.sleep(_RETRY_S)

    async def _login(self) -> None:
        keys = self._settings.api_access_key, self._settings.api_secret_key
        answer = await self._http.get("/auth.login", auth=keys)
        self._http.headers["Authorization"] = f"Bearer {_data('auth.login', answer)['token']}"

    async def _call(self, endpoint: str, **said: Any) -> Any:
        # GET with a body, whatever it does: so the real one calls.
        return _data(endpoint, await self._http.request("GET", f"/v2.5/{endpoint}", json=said))

    async def _register(self) -> None:
        await self._call("workers.register", worker=self._settings.worker_id, queues=self._queues)

    async def _queue_id(self, name: str) -> str:
        said = {"name": re.escape(name), "only_fields": ["name", "id"], "search_hidden": True}
        found = (await self._call("queues.get_all", **said))["queues"]
        for queue in found:
            if queue["name"].lower() == name.lower():
                return str(queue["id"])
        raise SystemExit(f"there is no queue {name!r} at {self._settings.api_host}")

    async def _report(self) -> None:
        task, queue = self._current or (None, None)
        used, free = _memory_mib()
        await self._call(
            "workers.status_report",
            worker=self._settings.worker_id,
            timestamp=int(time.time()) * 1000,
            queues=self._queues,
            machine_stats={"cpu_usage": [min(100.0, os.getloadavg()[0] * 100 / (os.cpu_count() or 1))],
                           "memory_used": used, "memory_free": free},
            **({"task": task, "queue": queue} if task else {}),
        )  # fmt: skip

    # --- work --------------------------------------------------------------------------------------------------

    async def _report_now_and_then(self) -> None:
        while True:
            with suppress(httpx.HTTPError, CallError):
                await self._report()
            await asyncio.sleep(self._settings.agent_status_report_freq_sec)

    async def _pull(self) -> None:
        while True:
            try:
                if not await self._take_one():
                    await asyncio.sleep(self._settings.agent_queue_poll_freq_sec)
            except httpx.HTTPError:
                await asyncio.sleep(_RETRY_S)
            except CallError as error:
                if error.subcode != _NOT_REGISTERED:
                    print(error, file=sys.stderr, flush=True)
                await asyncio.sleep(_RETRY_S)
                await self._again(self._register)

    async def _take_one(self) -> bool:
        """Run the first task that there is, by the order of the queues."""
        for queue in self._queues:
            entry = (await self._call("queues.get_next_task", queue=queue)).get("entry")
            if entry is not None:
                self._current = entry["task"], queue
                try:
                    await self._run_one(entry["task"])
                finally:
                    self._current = None
                with suppress(CallError):
                    await self._report()
                return True
        return False

    async def _run_one(self, task: str) -> None:
        await self._call("tasks.started", task=task, status_message="pulled by agent", force=True)
        await self._report()
        script = (await self._call("tasks.get_by_id", task=task))["task"]["script"]["diff"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, start_new_session=True
        )
        try:
            async with asyncio.TaskGroup() as group:
                log = group.create_task(self._log(task, process))
                watch = group.create_task(self._watch(task, process))
                await process.wait()
                await log
                watch.cancel()
        finally:
            _kill(process)
            await process.wait()
        if watch.done() and not watch.cancelled():
            self.done.append((task, "aborted"))
            return
        how = "completed" if process.returncode == 0 else "failed"
        words = {"status_reason": f"worker execution exit code {process.returncode}"} if how == "failed" else {}
        await self._call(f"tasks.{how}", task=task, **words)
        self.done.append((task, how))

    async def _log(self, task: str, process: Process) -> None:
        """What it prints, to its log."""
        while process.stdout is not None and (text := await process.stdout.read(64 * 1024)):
            event = {"type": "log", "task": task, "msg": text.decode(errors="replace"), "level": "info"}
            body, headers = json.dumps(event), {"Content-Type": "application/json-lines"}
            with suppress(httpx.HTTPError):
                await self._http.post("/v2.5/events.add_batch", content=body, headers=headers)

    async def _watch(self, task: str, process: Process) -> None:
        """End it when the task is not ours any more."""
        while True:
            await asyncio.sleep(self._settings.agent_queue_poll_freq_sec)
            with suppress(httpx.HTTPError, CallError):
                found = (await self._call("tasks.get_all", id=[task], only_fields=["status", "status_message"]))[
                    "tasks"
                ]
                if not found or found[0]["status"] != "in_progress":
                    _kill(process)
                    return


def _data(endpoint: str, answer: httpx.Response) -> Any:
    """What an answer says. Raises CallError; HTTPError where it says to come again."""
    if answer.status_code in (429, 502, 503):
        answer.raise_for_status()
    said = answer.json()
    if said["meta"]["result_code"] != 200:  # noqa: PLR2004
        raise CallError(endpoint, said["meta"])
    return said["data"]


def _kill(process: Process) -> None:
    """End the program and what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _memory_mib() -> tuple[int, int]:
    """Memory that is used and that is free."""
    page, mib = os.sysconf("SC_PAGE_SIZE"), 1024 * 1024
    total, free = os.sysconf("SC_PHYS_PAGES") * page, os.sysconf("SC_AVPHYS_PAGES") * page
    return (total - free) // mib, free // mib


async def _main(queues: Sequence[str]) -> None:
    running = asyncio.create_task(ClearmlPuller(AgentSettings(), queues).run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    with suppress(asyncio.CancelledError):
        await running


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="a small ClearML agent")
    parser.add_argument("--queue", nargs="+", default=["default"], metavar="NAME")
    asyncio.run(_main(parser.parse_args().queue))
