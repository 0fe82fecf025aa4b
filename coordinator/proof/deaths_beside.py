"""The peers of `deaths`: two workers of another task queue, killed in turn while they run its one task."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from coordinator.local.services import Services, Wanted

WITHIN_S: Final = 60.0
_HERE: Final = Path(__file__).resolve().parents[2]


class Workers:
    """Worker processes of a peer, by the number of their process group, each with a log."""

    def __init__(self, argv: Callable[[str], Sequence[str]], ready: str, url: str, directory: Path) -> None:
        """*argv* of a worker of this name; *ready* is what it logs when it takes tasks."""
        self._argv = argv
        self._ready = ready
        self._environment = {**os.environ, "FARMHAND_BENCH_BROKER": url, "PYTHONPATH": str(_HERE)}
        self._directory = directory
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._count = 0

    async def start(self) -> None:
        """One more; returns when it is ready."""
        self._count += 1
        log = self._directory / f"{self._count}.log"
        with log.open("wb") as file:
            one = subprocess.Popen(  # noqa: ASYNC220
                self._argv(f"w{self._count}"), env=self._environment, stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        self._running[one.pid] = one
        async with asyncio.timeout(WITHIN_S):
            while self._ready not in log.read_text(errors="replace"):
                if one.poll() is not None:
                    raise SystemExit(f"a peer's worker ended: {log.read_text(errors='replace')[-2000:]}")
                await asyncio.sleep(0.05)

    def kill(self, group: int) -> float:
        """SIGKILL to all of it; when."""
        began = time.perf_counter()
        os.killpg(group, signal.SIGKILL)
        return began

    def bury(self, group: int) -> None:
        """Forget a killed one."""
        self._running.pop(group).wait()

    def end(self) -> None:
        """Kill all."""
        for group in list(self._running):
            with contextlib.suppress(ProcessLookupError):
                self.kill(group)
            self.bury(group)


async def _deaths(
    kills: int, argv: Callable[[str], Sequence[str]], ready: str, send: Callable[[str, int], None]
) -> list[float]:
    """Seconds from kill to start. A task says its process group by a datagram when it starts."""
    loop = asyncio.get_running_loop()
    with (
        tempfile.TemporaryDirectory() as directory,
        Services(Wanted(postgres=False)) as services,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear,
    ):
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(0)
        workers = Workers(argv, ready, services.amqp_url, Path(directory))
        try:
            await workers.start()
            await workers.start()
            await asyncio.to_thread(send, services.amqp_url, ear.getsockname()[1])
            holder = int(await asyncio.wait_for(loop.sock_recv(ear, 100), WITHIN_S))
            seconds = []
            for _ in range(kills):
                killed = workers.kill(holder)
                other = int(await asyncio.wait_for(loop.sock_recv(ear, 100), WITHIN_S))
                seconds.append(time.perf_counter() - killed)
                workers.bury(holder)
                holder = other
                await workers.start()
        finally:
            workers.end()
    return seconds


async def celery_deaths(kills: int) -> list[float]:
    """Celery with late acknowledgement, one process in each worker's pool."""

    def argv(name: str) -> list[str]:
        options = ["--pool=prefork", "--concurrency=1", "--prefetch-multiplier=1", "--loglevel=INFO"]
        return [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "coordinator.proof.celery_worker",
            "worker",
            *options,
            "-n",
            f"{name}@%h",
        ]

    def send(url: str, port: int) -> None:
        from celery import Celery  # noqa: PLC0415 - only the benchmark has it

        Celery(broker=url).send_task("hold", [port])

    return await _deaths(kills, argv, " ready.", send)


async def dramatiq_deaths(kills: int) -> list[float]:
    """Dramatiq, one process with one thread in each worker."""

    def argv(_: str) -> list[str]:
        options = ["--processes", "1", "--threads", "1"]
        return [sys.executable, "-m", "dramatiq", *options, "coordinator.proof.dramatiq_worker"]

    def send(url: str, port: int) -> None:
        os.environ["FARMHAND_BENCH_BROKER"] = url
        from coordinator.proof.dramatiq_worker import hold  # noqa: PLC0415 - only the benchmark has it

        hold.send(port)

    return await _deaths(kills, argv, "is ready for action", send)
