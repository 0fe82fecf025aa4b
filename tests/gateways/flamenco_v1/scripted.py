"""A Flamenco 1 worker made of nothing but HTTP: it does what a test wants, and remembers what it was asked."""

import asyncio
import json
from typing import Any, Self
from urllib.parse import parse_qsl

import httpx

INFO = {"hostname": "fsiddi-macpro.local", "mac_address": 158929712651, "system": "Darwin 14.1.0"}
LOAD = {"update_frequent": {"worker_cpu_percent": 7.0}, "update_less_frequent": {"worker_num_cpus": 16}}


class Worker:
    """Listens on a port of its own, and registers there as Flamenco 1's did. Its program ends when a test says so."""

    def __init__(self, manager: str, hostname: str = "fsiddi-macpro.local") -> None:
        self.hostname = hostname
        self.http = httpx.AsyncClient(base_url=manager, timeout=60)
        self.port = 0
        self.tasks: list[dict[str, str]] = []
        self.kills = 0
        self.running: str | None = None
        #: What its program has written so far.
        self.written = ""
        #: What it answers instead, by path: a status, with a place to go.
        self.answers: dict[str, int] = {}
        self.asked: list[str] = []
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.die()
        await self.http.aclose()

    @property
    def foreign_id(self) -> str:
        """What identifies it."""
        return f"127.0.0.1:{self.port}"

    async def die(self) -> None:
        """Nobody listens from now on."""
        self._server.close()
        await self._server.wait_closed()

    async def register(self) -> httpx.Response:
        """Flamenco 1 worker: POST /workers, a form."""
        form = {"port": self.port, "hostname": self.hostname, "system": "Darwin 14.1.0"}
        return await self.http.post("/workers", data=form)

    async def given(self, count: int = 1) -> dict[str, str]:
        """The newest task, when it was given so many."""
        await self.until(lambda: len(self.tasks) >= count)
        return self.tasks[-1]

    async def until(self, true: Any) -> None:
        """Wait until it has been asked for something that makes this true."""
        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(true)

    async def says(self, number: str, **fields: Any) -> httpx.Response:
        """Flamenco 1 worker: PATCH /tasks/<id>, a form; it lets go of a task when it has said how it ended."""
        answer = await self.http.patch(f"/tasks/{number}", data=fields)
        if fields.get("status") in ("finished", "failed", "aborted"):
            self.running = None
        return answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        length = (
            int(head.lower().partition("content-length:")[2].split()[0]) if "content-length:" in head.lower() else 0
        )
        form = dict(parse_qsl((await reader.readexactly(length)).decode(), keep_blank_values=True))
        status, body = self._answer(method, path, form)
        place = b"location: /info\r\n" if 300 <= status < 400 else b""
        writer.write(
            b"HTTP/1.1 %d x\r\n%scontent-length: %d\r\nconnection: close\r\n\r\n%s" % (status, place, len(body), body)
        )
        await writer.drain()
        writer.close()
        async with self._changed:
            self.asked.append(f"{method} {path}")
            self._changed.notify_all()

    def _answer(self, method: str, path: str, form: dict[str, str]) -> tuple[int, bytes]:
        if path in self.answers:
            return self.answers[path], b""
        answer: tuple[int, bytes] = (404, b"")
        match method, path:
            case "POST", "/execute_task" if self.running is not None:
                answer = 500, b"{error:Processus failed}"
            case "POST", "/execute_task":
                self.running = form["task_id"]
                self.tasks.append(form)
                answer = 200, b'{"pid": 0}'
            case "DELETE", "/kill":
                self.kills += 1
                answer = 204, b""
            case "GET", "/info":
                status = "enabled" if self.running is None else "rendering"
                info = {**INFO, "hostname": self.hostname, "status": status, "activity": None}
                info["log"] = self.written
                answer = 200, json.dumps(info).encode()
            case "GET", "/run_info":
                answer = 200, json.dumps({**INFO, **LOAD, "secret": 1}).encode()
        return answer
