"""Celery's words and ours. Each case names where Celery says or does so."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from coordinator.gateways.celery import translate
from coordinator.gateways.celery.metrics import Metrics
from coordinator.gateways.celery.watching import STATES, Watching
from coordinator.gateways.celery.wire import UnreadableError, decode, names_of, stats_of, task_events
from schemas.task import AssignedAttempt, Outcome, TaskFinished, TaskProgress, TaskStarted
from tests.gateways.celery.test_lives import BEAT, NOW


def test_only_json_is_read_and_arrays_are_usual() -> None:
    """`events/dispatcher.py`, flush: `task.multi` with a list; kombu's other serializers are left alone."""
    assert len(decode(json.dumps([BEAT, BEAT]).encode(), "application/json")) == 2
    for body, content_type, reason in (
        (b"\x80\x04.", "application/x-python-serialize", "not-json"),
        (b"\x80", "application/x-msgpack", "not-json"),
        (b"type: worker-online", "application/x-yaml", "not-json"),
        (b"{", "application/json", "malformed"),
        (b"[" * 100_000, None, "malformed"),
        (json.dumps([1] * 10_001).encode(), "application/json", "oversized"),
    ):
        with pytest.raises(UnreadableError) as told:
            decode(body, content_type)
        assert told.value.reason == reason


@given(task=st.integers(1, 2**48 - 1), attempt=st.integers(1, 2**31 - 1), tag=st.integers(0, 2**32 - 1))
def test_an_id_says_which_attempt_it_is_and_to_which_farm_it_belongs(task: int, attempt: int, tag: int) -> None:
    text = translate.uuid_of(tag, task, attempt)
    assert translate.attempt_of(tag, text) == (task, attempt)
    assert translate.attempt_of(tag ^ 1, text) is None


@pytest.mark.parametrize("text", ["", "u", "1a2b3c4d-0000-4000-8000-000000000000", "x" * 36], ids=str)
def test_an_id_of_somebody_else_is_none_of_ours(text: str) -> None:
    assert translate.attempt_of(0x1A2B3C4D, text) is None


def told_of(type_: str, *, revoked: bool = False, **fields: Any) -> Any:
    ((read,), _) = task_events([{"type": type_, "hostname": "w1@host1", "uuid": "u", **fields}])
    return translate.report_of(read, 7, 2, revoked=revoked)


def test_every_event_of_a_task_means_something() -> None:
    """`worker/request.py`, `worker/strategy.py`, `app/trace.py`: the events and their fields."""
    assert {type(told_of(one)) for one in translate.BEGINNINGS} == {TaskStarted}
    assert {type(told_of(one)) for one in translate.AGAIN} == {TaskProgress}
    assert set(STATES) == translate.BEGINNINGS | translate.AGAIN | set(translate.OUTCOMES) | {"task-sent"}
    assert told_of("task-sent") is None
    assert told_of("task-custom") is None


@pytest.mark.parametrize(
    ("type_", "fields", "outcome", "error"),
    [
        ("task-succeeded", {"result": "5", "runtime": 0.5}, Outcome.COMPLETED, None),
        ("task-failed", {"exception": "ValueError('bad')"}, Outcome.FAILED, "ValueError('bad')"),
        ("task-revoked", {"terminated": True, "signum": "15", "expired": False}, Outcome.INTERRUPTED, None),
        ("task-revoked", {"terminated": False, "signum": None, "expired": True}, Outcome.FAILED, "it expired"),
        ("task-rejected", {"requeue": False}, Outcome.FAILED, "the task rejected it"),
    ],
    ids=["succeeded", "failed", "terminated", "expired", "rejected"],
)
def test_how_a_task_ended(type_: str, fields: dict[str, Any], outcome: Outcome, error: str | None) -> None:
    """`worker/request.py`: on_success, on_failure, revoked, reject."""
    report = told_of(type_, **fields)
    assert isinstance(report, TaskFinished)
    assert (report.task, report.attempt, report.outcome, report.error) == (7, 2, outcome, error)
    assert report.run_s == fields.get("runtime")


def test_what_we_revoked_is_canceled_and_what_is_requeued_goes_on() -> None:
    """`worker/control.py`, revoke; `worker/request.py`, reject."""
    assert told_of("task-revoked", revoked=True).outcome is Outcome.CANCELED
    assert isinstance(told_of("task-rejected", requeue=True), TaskProgress)


def assigned(**fields: Any) -> AssignedAttempt:
    parameters = {"args": [2, 3], "kwargs": {"tip": 1}}
    defaults = {
        "task": 7, "attempt": 2, "job": 1, "name": "add", "kind": "shop.add", "lease_s": 30, "directory": "7/2",
        "day": "2026-03-27",
        "commands": [{"name": "celery", "parameters": parameters}],
    }  # fmt: skip
    return AssignedAttempt.model_validate(defaults | fields)


def test_a_task_is_the_message_that_celery_s_own_clients_send() -> None:
    """`app/amqp.py`, as_task_v2: headers and body of message protocol 2."""
    headers, body = translate.message_of(assigned(), "id")
    assert json.loads(body) == [[2, 3], {"tip": 1}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    assert (headers["lang"], headers["task"], headers["id"], headers["root_id"]) == ("py", "shop.add", "id", "id")
    assert headers["timelimit"] == [None, None]


@pytest.mark.parametrize(
    "fields",
    [
        {"commands": [{"name": "exec", "parameters": {"argv": ["true"]}}]},
        {"commands": [{"name": "celery"}, {"name": "celery"}]},
        {"commands": [{"name": "celery", "parameters": {"args": 2}}]},
        {"environment": {"A": "b"}},
    ],
    ids=["another command", "two commands", "args", "environment"],
)
def test_what_its_workers_cannot_run_is_said(fields: dict[str, Any]) -> None:
    assert translate.cannot_run(assigned(**fields))
    assert translate.cannot_run(assigned()) is None


def test_what_a_worker_says_of_itself() -> None:
    """`worker/control.py`: stats, registered, active_queues; `uptime` is missing before Celery 5.1."""
    stats = stats_of(
        {"pid": 7, "pool": {"implementation": "celery.concurrency.prefork:TaskPool", "max-concurrency": 4}}
    )
    assert stats is not None
    tasks = names_of(["shop.add", "shop.slow [rate_limit=1/m]", "much too long " + "x" * 99])
    queues = names_of([{"name": "celery"}, {"name": "celery"}, {}])
    portrait = translate.inspected("w1@host1", stats, tasks, queues, "inbox")
    assert (portrait.slots, portrait.queues, portrait.runners) == (4, ("default", "celery"), ("celery",))
    assert portrait.kinds is not None
    assert set(portrait.kinds) >= {"shop.add", "shop.slow"}
    assert portrait.platform == {"pool": "prefork", "inbox": "inbox"}
    assert translate.inspected("w1@host1", stats, tasks, queues, None).kinds == (), "without a voice it gets nothing"


def test_a_worker_s_name_holds_its_broker_unless_that_is_the_farm_s() -> None:
    assert translate.place_of(translate.foreign_id("", "w1@host1")) == ("", "w1@host1")
    assert translate.place_of(translate.foreign_id("rabbit:5672/shop", "w1@host1")) == ("rabbit:5672/shop", "w1@host1")
    assert translate.name_of("w1@host1") != translate.name_of(translate.foreign_id("rabbit:5672/shop", "w1@host1"))


def test_of_a_task_the_newest_word_counts_and_it_is_timed() -> None:
    """`events/state.py`: an end may come before its beginning on the wire (clock 9 before clock 8)."""
    registry = CollectorRegistry()
    watching = Watching("", 7, Metrics(registry))
    said = {"hostname": "w1@host1", "uuid": "u"}
    events, _ = task_events(
        [
            {**said, "type": "task-succeeded", "clock": 9, "timestamp": NOW + 3, "result": "5", "runtime": 1.5},
            {**said, "type": "task-started", "clock": 8, "timestamp": NOW + 2},
            {**said, "type": "task-received", "clock": 7, "timestamp": NOW + 1, "name": "shop.add", "args": "(2, 3)"},
            {**said, "type": "task-sent", "hostname": "gen829@vm", "timestamp": NOW + 9, "queue": "celery"},
        ]
    )
    (task,) = watching.take(events)
    assert (task.state, task.name, task.result, task.run_s, task.queue) == ("succeeded", "shop.add", "5", 1.5, "celery")
    assert (task.args, task.worker) == ("(2, 3)", translate.name_of("w1@host1"))
    assert None not in (task.sent_at, task.received_at, task.started_at, task.ended_at)
    assert registry.get_sample_value("farmhand_celery_task_run_seconds_sum", {"task": "shop.add"}) == 1.5
    assert registry.get_sample_value("farmhand_celery_task_prefetch_seconds_sum", {"task": "shop.add"}) == 1.0
    assert not watching.prefetched["w1@host1"]
