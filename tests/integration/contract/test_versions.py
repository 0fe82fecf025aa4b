"""Releases that are one apart: what an earlier one sent is applied today, and what a later one may send does no harm.

What was recorded is in `tests/recorded`. No release can be recorded that is not there yet: the next one says what this
one says, and more (fields, events, commands, words).
"""

import json
from datetime import datetime
from typing import Any

import httpx
import pytest

from schemas import topology
from schemas.base import UndecodableError, decode
from schemas.catalog import CATALOG
from schemas.envelope import (
    COMMAND_TYPES,
    EVENT_TYPES,
    FromSubmitter,
    FromWorker,
    SubmitReply,
    ToWorker,
    decode_from_worker,
    decode_to_worker,
)
from schemas.worker import Duty
from tests.support.farm import Farm
from tests.support.recorded import names, recorded
from tests.support.wire import WireWorker

#: Came later: `task.spawn`.
LATER = {"task.spawn"}


def test_each_message_of_the_first_release_was_recorded() -> None:
    assert set(names()) == {entry.name for entry in CATALOG} - LATER


@pytest.mark.parametrize("name", names())
def test_what_the_first_release_sent_is_read_as_it_was_meant(name: str) -> None:
    key, said = recorded(name)
    body = json.dumps(said).encode()
    read: FromWorker | ToWorker | FromSubmitter | SubmitReply
    match key.partition(".")[0]:
        case "ev" | "hb" | "log":
            read, unknown = decode_from_worker(body)
        case "farmhand":
            read, unknown = decode_to_worker(body)
        case "job":
            read, unknown = decode(body, FromSubmitter), 0
        case _:
            read, unknown = decode(body, SubmitReply), 0
    assert unknown == 0
    assert_holds(json.loads(read.model_dump_json()), said)


def assert_holds(read: Any, said: Any) -> None:
    """Raise unless *read* is *said*, and perhaps more."""
    match said:
        case dict():
            for key, one in said.items():
                assert_holds(read[key], one)
        case list():
            assert len(read) == len(said)
            for mine, theirs in zip(read, said, strict=True):
                assert_holds(mine, theirs)
        case str() if "T" in said and said.endswith("+00:00"):
            assert datetime.fromisoformat(read) == datetime.fromisoformat(said)
        case _:
            assert read == said


# --- what the next release may say -------------------------------------------------------------------------


#: Where people and programs put what they like: a field more would be another value.
THEIRS = {"environment", "parameters", "result"}


def of_tomorrow(said: Any) -> Any:
    """*said* with a field more in every object."""
    match said:
        case dict():
            mine = {key: one if key in THEIRS else of_tomorrow(one) for key, one in said.items()}
            return mine | {"of_tomorrow": {"a": [1]}}
        case list():
            return [of_tomorrow(one) for one in said]
    return said


@pytest.mark.parametrize("name", sorted(set(names()) - {"job.submit", "job.reply"}))
def test_what_the_next_release_adds_is_left_out_and_counted_where_it_is_an_event(name: str) -> None:
    key, said = recorded(name)
    read = decode_to_worker if key.startswith("farmhand") else decode_from_worker
    kind = "commands" if key.startswith("farmhand") else "events"
    today, _ = read(json.dumps(said).encode())
    tomorrow = of_tomorrow(said) | {"v": 2}
    tomorrow[kind] = [{"type": "of.tomorrow", "task": "x"}, *tomorrow[kind], {"type": "also"}]
    message, unknown = read(json.dumps(tomorrow).encode())
    assert unknown == 2
    assert message.model_copy(update={"v": 1}) == today


def an_event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "task": 1, "attempt": 1} | fields


def an_envelope_of(version: int, key: str, *items: dict[str, Any]) -> bytes:
    _, said = recorded("worker.heartbeat" if key == "events" else "verdict")
    return json.dumps(said | {"v": version, key: list(items)}).encode()


def test_an_event_or_command_with_a_word_of_the_next_release_is_left_out_and_the_others_count() -> None:
    finished = an_event("task.finished", outcome="postponed")
    message, unknown = decode_from_worker(an_envelope_of(2, "events", finished, an_event("task.started")))
    assert ([event.type for event in message.events], unknown) == (["task.started"], 1)
    asked = {"type": "request_state", "state": "hibernating"}
    told = {"type": "verdict", "verdicts": [{"task": 1, "attempt": 1, "verdict": "accepted"}]}
    commands, unknown = decode_to_worker(an_envelope_of(2, "commands", asked, told))
    assert ([command.type for command in commands.commands], unknown) == (["verdict"], 1)


def test_a_duty_of_the_next_release_counts_as_asleep_and_its_worker_is_heard() -> None:
    message, unknown = decode_from_worker(
        an_envelope_of(2, "events", {"type": "worker.heartbeat", "duty": "hibernating"})
    )
    (beat,) = message.events
    assert (getattr(beat, "duty", None), unknown) == (Duty.ASLEEP, 0)


@pytest.mark.parametrize(
    ("version", "event"),
    [
        (1, {"type": "worker.heartbeat", "duty": "hibernating"}),
        (1, an_event("task.finished", outcome="postponed")),
        (2, an_event("task.finished", outcome="postponed", task=0)),
        (2, an_event("task.finished", outcome=7.5)),
    ],
)
def test_a_word_of_nobody_and_what_is_wrong_besides_are_refused(version: int, event: dict[str, Any]) -> None:
    with pytest.raises(UndecodableError) as refused:
        decode_from_worker(an_envelope_of(version, "events", event, an_event("task.started")))
    assert refused.value.reason == "invalid"


# --- on a farm ---------------------------------------------------------------------------------------------


class OfTheFirstRelease(WireWorker):
    """A worker that says what the first release said, of its own attempts."""

    async def play(self, name: str, *, task: int = 0) -> None:
        """Say what was recorded of *name*."""
        key, said = recorded(name)
        self.seq += 1
        now = {"epoch": self.epoch, "instance": str(self.instance), "seq": self.seq}
        events = [event for event in said["events"] if event["type"] == name]
        for event in events:
            of = [event] if "task" in event else event.get("holds", [])
            for one in of if task else ():
                one["task"], one["attempt"] = task, 1
        await self.say_bytes(json.dumps(said | now | {"events": events[:1]}).encode(), key=key)


async def test_todays_coordinator_applies_what_the_first_release_said(farm: Farm) -> None:
    async with OfTheFirstRelease(farm.amqp_url, "node-1") as worker:
        await worker.play("worker.online")
        await worker.hear(lambda command: command.type == "welcome")
        key, submission = recorded("job.submit")
        await worker.say_bytes(json.dumps(submission).encode(), key=key)
        attempt = await worker.assigned()
        task = attempt.task

        for name in ("task.started", "task.progress", "worker.heartbeat", "task.output", "task.log"):
            await worker.play(name, task=task)
        await farm.until("SELECT count(*) = 1 FROM logs WHERE task_id = $1", task)
        await farm.until("SELECT activity IS NOT NULL FROM attempts WHERE task_id = $1", task)
        await farm.until("SELECT true FROM worker_stats")
        await worker.play("task.finished", task=task)
        assert await worker.verdict(attempt) == "accepted"
        await worker.play("task.promoted", task=task)
        await farm.until("SELECT promoted_at IS NOT NULL FROM attempts WHERE task_id = $1", task)
        assert await farm.rows("SELECT name FROM outputs WHERE task_id = $1", task)
        await worker.play("worker.state_changed")
        await farm.until("SELECT duty <> 'awake' FROM workers")
        await worker.play("worker.offline")
        await farm.until("SELECT connection = 'offline' FROM workers")
    assert await farm.rows("SELECT * FROM parked") == []


async def test_what_only_the_next_release_knows_is_counted_where_metrics_are_read(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({})
        attempt = await worker.assigned()
        finished = an_event("task.finished", task=attempt.task, outcome="completed", mood="proud")
        items = [{"type": "task.dreamt"}, finished, an_event("task.finished", outcome="postponed")]
        now = {"epoch": worker.epoch, "instance": str(worker.instance), "seq": 7}
        body = json.loads(an_envelope_of(2, "events", *items)) | now
        await worker.say_bytes(json.dumps(body).encode(), key=topology.event_key("node-1"))
        assert await worker.verdict(attempt) == "accepted"
    async with httpx.AsyncClient(timeout=60) as client:
        url = f"http://127.0.0.1:{farm.coordinator.settings.http_port}/metrics"
        assert "farmhand_unknown_events_total 2.0" in (await client.get(url)).text
    assert await farm.rows("SELECT * FROM parked") == []


def test_every_known_type_is_told_from_those_of_tomorrow() -> None:
    assert {entry.name for entry in CATALOG} - {"job.submit", "job.reply"} == EVENT_TYPES | COMMAND_TYPES
