"""Stock Celery workers as processes, in an environment that has Celery and nothing of ours."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from coordinator.local.mixed.stock_celery import command, environment
from tests.support.farm import Farm

HERE: Final = Path(__file__).parent


class CeleryWorker:
    """One worker process, its children in its own group."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, hostname: str) -> None:
        self.process = process
        self.log = log
        self.hostname = hostname

    def stop(self) -> None:
        """Ask for a warm shutdown."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """As if the machine had lost its power."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    async def has_come_back(self, times: int = 1) -> None:
        """Wait until it has reconnected so often: its dispatcher of events is new by then."""
        met = re.compile("mingle: (all alone|sync complete)")
        while len(met.findall(await asyncio.to_thread(self.log.read_text))) <= times:  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    async def ended(self) -> int:
        """Its exit code, when it has gone."""
        return await asyncio.to_thread(self.process.wait)


@contextlib.asynccontextmanager
async def celery_worker(
    broker: str, directory: Path, name: str, *options: str, module: str = "farm_app"
) -> AsyncIterator[CeleryWorker]:
    """A worker of this node name and application, started as its users start it."""
    hostname = f"{name}@test"
    log = directory / f"{name}-{module}.log"
    argv = command(hostname, *options, module=module)
    env = await asyncio.to_thread(environment, broker, HERE)
    with log.open("ab") as file:
        process = subprocess.Popen(  # noqa: ASYNC220
            argv, env=env, stdout=file, stderr=file, start_new_session=True, cwd=directory
        )
    worker = CeleryWorker(process, log, hostname)
    try:
        yield worker
    finally:
        worker.kill()
        await worker.ended()


def clients(broker: str, program: str) -> str:
    """What a program of Celery's users prints: it has `app` and its tasks."""
    done = subprocess.run(
        [sys.executable, "-P", "-S", "-c", f"from farm_app import *\n{program}"],
        env=environment(broker, HERE), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def how_often(gate: Path) -> int:
    """How many times the task was begun that waits for this (`farm_app.hold`)."""
    return len(Path(f"{gate}.runs").read_text())


async def connected(farm: Farm, name: str, connection: str = "online") -> None:
    """Wait until the worker of this row is so."""
    await farm.until("SELECT true FROM workers WHERE id = $1 AND connection = $2", name, connection)


async def offers(farm: Farm, name: str, kind: str) -> None:
    """Wait until the worker of this row can be given tasks of *kind*."""
    await farm.until("SELECT true FROM workers WHERE id = $1 AND connection = 'online' AND $2 = ANY(kinds)", name, kind)
