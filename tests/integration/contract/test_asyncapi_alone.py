"""The AsyncAPI document is enough: a program that has nothing else of ours submits a job and runs it."""

import asyncio
import json
import sys
from pathlib import Path

import schemas
from tests.support.farm import Farm

DOCUMENT = Path(schemas.__file__).with_name("asyncapi.yaml")
STRANGER = Path(__file__).with_name("stranger.py")


async def test_a_stranger_works_on_the_farm_from_the_document_alone(farm: Farm) -> None:
    stranger = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(STRANGER), str(DOCUMENT), farm.amqp_url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(stranger.communicate(), 100)

    assert stranger.returncode == 0, err.decode()
    told = json.loads(out)
    assert told["ours"] == []
    assert told["reply"]["created"]
    task = told["assigned"]["task"]
    assert told["verdicts"] == [{"task": task, "attempt": 1, "verdict": "accepted"}]
    await farm.until("SELECT connection = 'offline' FROM workers WHERE id = 'stranger'")
    rows = await farm.rows("SELECT id, submitter, state FROM jobs")
    assert [tuple(row) for row in rows] == [(told["reply"]["job"], "somebody", "completed")]
    rows = await farm.rows("SELECT accepted, result, done FROM attempts WHERE task_id = $1", task)
    assert [(row["accepted"], json.loads(row["result"]), row["done"]) for row in rows] == [(True, {"strange": True}, 1)]
    assert await farm.until("SELECT text FROM logs WHERE task_id = $1", task) == "hello from a stranger\n"
    assert await farm.rows("SELECT * FROM parked") == []
