"""An agent is killed at each exact point between the end of a task and the word of its promotion, or a verdict is lost:
the result is used once, promoted once, never lost.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractQueue

from schemas import topology
from schemas.envelope import decode_to_worker
from tests.faults import doom
from tests.integration.agent import launch
from tests.support.farm import Farm, running

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]
NAME = "node-1"
ONCE = "it has ended, nothing is written"

#: Leaves a mark for each run, and two files.
CODE = "open(r'{marks}', 'a').write('x'); [open(name, 'w').write(name * 1000) for name in ('a', 'b')]"


def argv(amqp_url: str, home: Path) -> list[str]:
    """An agent's options."""
    places = [("--data-dir", "data"), ("--output-root", "outputs"), ("--publish-root", "published")]
    return [
        *("--worker", NAME, "--amqp-url", amqp_url),
        *(word for option, name in places for word in (option, str(home / name))),
    ]


async def a_life(amqp_url: str, home: Path, point: str | None) -> Any:
    """An agent's process: one that dies at *point*, and has when this returns; or one that goes on."""
    log = home / "agent.log"
    log.touch()
    options = (argv(amqp_url, home), str(log))
    if point is None:
        process = launch.CONTEXT.Process(target=launch.agent, args=options)
        process.start()
        return process
    process = launch.CONTEXT.Process(target=doom.agent, args=(*options, point))
    process.start()
    await asyncio.to_thread(process.join, 60)
    assert process.exitcode == -9, log.read_text()[-2000:]
    return process


async def submit(farm: Farm, marks: Path) -> int:
    """A task that is promoted, and one that waits for that; the number of the first."""
    command = {"name": "exec", "parameters": {"argv": [sys.executable, "-c", CODE.format(marks=marks)]}}
    made = await farm.submit(
        {"name": "make", "kind": "exec", "commands": [command], "promote": "shots/7", "retries": 0},
        {"name": "use", "kind": "echo", "after": [{"task": "make", "after": "promoted"}]},
    )
    return int((await farm.rows("SELECT first_task FROM jobs WHERE id = $1", made.job))[0][0])


async def used_and_promoted_once(farm: Farm, task: int, home: Path) -> None:
    """What must be true in the end, whatever happened on the way."""
    await farm.until("SELECT state = 'completed' FROM jobs", within_s=60)
    accepted = await farm.rows("SELECT attempt, promoted_at FROM attempts WHERE task_id = $1 AND accepted", task)
    assert len(accepted) == 1
    assert accepted[0]["promoted_at"] is not None
    words = await farm.rows("SELECT count(*) FROM history WHERE task_id = $1 AND event = 'task.promoted'", task)
    assert words[0][0] == 1
    # It may have been given to the agent that was dying, too.
    uses = await farm.rows("SELECT ending FROM attempts WHERE task_id = $1 AND ending <> 'lost'", task + 1)
    assert [row["ending"] for row in uses] == ["completed"]
    published = home / "published/shots/7"
    assert {file.name: file.read_text() for file in published.iterdir()} == {"a": "a" * 1000, "b": "b" * 1000}


@pytest.mark.parametrize("point", doom.POINTS)
async def test_an_agent_that_is_killed_there_loses_nothing_and_does_nothing_twice(
    point: str, database_url: str, amqp_url: str, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    async with running(database_url, amqp_url) as farm:
        first = asyncio.create_task(a_life(amqp_url, tmp_path, point))
        await farm.until("SELECT connection = 'online' FROM workers")
        task = await submit(farm, marks)
        await first

        second = await a_life(amqp_url, tmp_path, None)
        try:
            await used_and_promoted_once(farm, task, tmp_path)
        finally:
            second.kill()
            await asyncio.to_thread(second.join)
    # Only what nobody had written down is done again.
    assert marks.read_text() == ("xx" if point == ONCE else "x")


async def lose_the_verdict(queue: AbstractQueue) -> None:
    """Take what comes into the worker's *queue* until a verdict was among it."""
    async with asyncio.timeout(60):
        while True:
            message = await queue.get(no_ack=True, fail=False)
            if message and any(one.type == "verdict" for one in decode_to_worker(message.body)[0].commands):
                return


async def test_a_lost_verdict_is_told_again(database_url: str, amqp_url: str, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    async with running(database_url, amqp_url) as farm:
        first = asyncio.create_task(a_life(amqp_url, tmp_path, "the broker has the report"))
        await farm.until("SELECT connection = 'online' FROM workers")
        task = await submit(farm, marks)
        await first
        await farm.until("SELECT accepted FROM attempts")
        async with await aio_pika.connect(amqp_url) as connection:
            channel = await connection.channel()
            await lose_the_verdict(await channel.get_queue(topology.worker_queue(NAME).name, ensure=False))

        second = await a_life(amqp_url, tmp_path, None)
        try:
            await used_and_promoted_once(farm, task, tmp_path)
        finally:
            second.kill()
            await asyncio.to_thread(second.join)
    assert marks.read_text() == "x"
