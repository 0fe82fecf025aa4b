"""Every change becomes one request for the writer, with who asked; what the writer refuses comes back as it said."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from coordinator.client import AsyncFarmhandClient, ExitCode, FarmhandError
from coordinator.domain.idle import IdleAction, IdlePolicy
from coordinator.operations import requests
from coordinator.operations.requests import (
    CancelJob,
    CancelTasks,
    Changed,
    DropParked,
    LabelWorker,
    RemoveWorker,
    ReplayParked,
    RequestWorkerState,
    RequeueFailed,
    RequeueTasks,
    SetIdleDefault,
    SetIdlePolicy,
    SetSleepSchedule,
    SubmitJob,
    Submitted,
)
from schemas.job import JobSpec
from schemas.views import SleepRange, SleepSchedule
from schemas.worker import RequestedState
from tests.integration.api.conftest import Inbox

SPEC: dict[str, Any] = {"name": "job", "tasks": [{"name": "t", "kind": "exec", "commands": [{"name": "exec"}]}]}
ANA = "ana@desk"


async def test_each_call_asks_the_writer_for_one_thing(client: AsyncFarmhandClient, inbox: Inbox) -> None:
    inbox.answer = Changed(3, continues=True)
    answers = [
        await client.cancel_job(1, reason="why"),
        await client.requeue_job(1, canceled=True),
        await client.cancel_task(2, reason="why"),
        await client.requeue_task(2),
        await client.request_worker_state("node-1", "drain", lazy=False, reason="fan"),
        await client.label_worker("node-1", ["a100", "nda", "a100"]),
        await client.replay_parked(3),
        await client.drop_parked(3),
    ]

    assert inbox.asked == [
        CancelJob(1, ANA, "why"),
        RequeueFailed(1, ANA, None, canceled=True),
        CancelTasks((2,), ANA, "why"),
        RequeueTasks((2,), ANA, None),
        RequestWorkerState("node-1", RequestedState.DRAIN, ANA, lazy=False, reason="fan"),
        LabelWorker("node-1", ("a100", "nda"), ANA),
        ReplayParked(3, ANA),
        DropParked(3, ANA),
    ]
    assert {(answer.count, answer.continues) for answer in answers} == {(3, True)}


async def test_each_word_about_a_worker_asks_the_writer_for_one_thing(
    client: AsyncFarmhandClient, inbox: Inbox
) -> None:
    inbox.answer = Changed(1)
    night = SleepSchedule(zone="Europe/Berlin", asleep=[SleepRange(days=["fri"], start="22:00", end="06:00")])
    await client.request_worker_state("node-1", "quarantined", within_s=1800, only_from="testing")
    await client.set_sleep_schedule("node-1", night)
    await client.set_sleep_schedule("node-1", None)
    await client.set_idle_policy("node-1", "stop", after_s=60)
    await client.set_idle_policy("node-1", None)
    await client.set_idle_policy(None, "notify", after_s=90)
    await client.remove_worker("node-1", reason="scrapped")

    stored = {
        "zone": "Europe/Berlin",
        "asleep": [{"days": ["fri"], "start": "22:00", "end": "06:00"}],
        "lazy": True,
        "within_s": None,
    }
    assert inbox.asked == [
        RequestWorkerState("node-1", RequestedState.QUARANTINED, ANA, within_s=1800, only_from="testing"),
        SetSleepSchedule("node-1", stored, ANA),
        SetSleepSchedule("node-1", None, ANA),
        SetIdlePolicy("node-1", IdlePolicy(IdleAction.STOP, 60), ANA),
        SetIdlePolicy("node-1", None, ANA),
        SetIdleDefault(IdlePolicy(IdleAction.NOTIFY, 90), ANA),
        RemoveWorker("node-1", ANA, "scrapped"),
    ]


async def test_a_job_is_submitted_whole_and_in_the_submitters_name(client: AsyncFarmhandClient, inbox: Inbox) -> None:
    inbox.answer = Submitted(7, created=True, tasks=1)
    spec = JobSpec.model_validate(SPEC | {"priority": 70, "key": "k"})

    done = await client.submit(spec)

    assert (done.job, done.created, done.tasks) == (7, True, 1)
    assert inbox.asked == [SubmitJob(spec.model_copy(update={"submitter": ANA}), ANA)]


async def test_a_repeated_submission_is_told_apart_by_its_status(http: httpx.AsyncClient, inbox: Inbox) -> None:
    inbox.answer = Submitted(7, created=True, tasks=1)
    first = await http.post("jobs", json=SPEC)
    inbox.answer = Submitted(7, created=False, tasks=1)
    again = await http.post("jobs", json=SPEC)

    assert (first.status_code, first.headers["location"]) == (201, "/api/v1/jobs/7")
    assert (again.status_code, again.json()["created"]) == (200, False)


@pytest.mark.parametrize(
    ("refusal", "status", "kind", "exit_code"),
    [
        (requests.NotFoundError("there is no job 1"), 404, "not-found", ExitCode.NOT_FOUND),
        (requests.InvalidError("that is nothing"), 422, "invalid", ExitCode.USAGE),
        (requests.UnplaceableError("nobody ever offered kind x"), 422, "unplaceable", ExitCode.UNPLACEABLE),
        (requests.ConflictError("it is finished"), 409, "conflict", ExitCode.REFUSED),
        (requests.UnavailableError("the database is away"), 503, "unavailable", ExitCode.UNREACHABLE),
    ],
)
async def test_refusals_come_back_in_the_writers_words(
    client: AsyncFarmhandClient, inbox: Inbox, refusal: Exception, status: int, kind: str, exit_code: ExitCode
) -> None:
    inbox.answer = refusal

    with pytest.raises(FarmhandError) as caught:
        await client.cancel_job(1)

    error = caught.value
    assert (error.status, error.kind, error.detail, error.exit_code) == (status, kind, str(refusal), exit_code)


async def test_whoever_asks_without_a_name_is_called_by_the_address(http: httpx.AsyncClient, inbox: Inbox) -> None:
    await http.post("jobs/1/cancel")
    await http.post("jobs/1/cancel", headers={b"X-Farmhand-Actor": "\tJosé@desk\x01".encode()})

    assert [request.actor for request in inbox.asked] == ["http@127.0.0.1", "José@desk"]


async def test_an_unexpected_error_tells_nothing_but_that(
    http: httpx.AsyncClient, inbox: Inbox, tmp_path: Path
) -> None:
    inbox.answer = RuntimeError(f"secret in {tmp_path}")

    answer = await http.post("jobs/1/cancel")

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "something unexpected went wrong; the coordinator's log says what"
