"""The client for asyncio: the same calls, awaited."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from coordinator.client.calls import farm as farm_calls
from coordinator.client.calls import jobs as job_calls
from coordinator.client.calls import rules as rule_calls
from coordinator.client.calls import standing as standing_calls
from coordinator.client.calls import workers as worker_calls
from coordinator.client.calls.call import Call
from coordinator.client.errors import FarmhandError
from coordinator.client.following import Follower, Patience
from coordinator.client.http import DEFAULT_URL, answer_of, options, request_of, unreached
from schemas.views import FINISHED_JOB, JobDetail, LogPart

T = TypeVar("T")
P = ParamSpec("P")


def _async(build: Callable[P, Call[T]]) -> "Callable[Concatenate[AsyncFarmhandClient, P], Coroutine[Any, Any, T]]":
    async def method(client: "AsyncFarmhandClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await client.send(build(*args, **kwargs))

    method.__name__, method.__doc__ = build.__name__, build.__doc__
    return method


class AsyncFarmhandClient:
    """A farm, from asyncio. Raises FarmhandError for whatever goes wrong. Close it, or use it in `async with`."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        actor: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Talk to the coordinator at *url*; *actor* is who asks, by default this user at this machine."""
        self._http = httpx.AsyncClient(**options(url, token, actor), transport=transport)

    async def send(self, call: Call[T]) -> T:
        """Carry out one call."""
        try:
            response = await self._http.request(**request_of(call))
        except httpx.HTTPError as error:
            raise unreached(error, self._http.base_url) from None
        return answer_of(call, response)

    async def watch(self, job: int, *, every_s: float = 1.0, patience_s: float = 60.0) -> AsyncIterator[JobDetail]:
        """The job now and then, until it is finished. Goes on for *patience_s* when the coordinator is away."""
        patience = Patience(patience_s)
        while True:
            try:
                view = await self.job(job)
            except FarmhandError as error:
                patience.lost(error, time.monotonic())
            else:
                patience.found()
                yield view
                if view.state in FINISHED_JOB:
                    return
            await asyncio.sleep(every_s)

    async def follow_log(
        self, task: int, *, attempt: int | None = None, every_s: float = 1.0, patience_s: float = 60.0
    ) -> AsyncIterator[LogPart]:
        """The log of an attempt as it grows, until the attempt has ended."""
        follower, patience = Follower(task, attempt), Patience(patience_s)
        while not follower.done:
            try:
                part = await self.send(follower.call())
            except FarmhandError as error:
                patience.lost(error, time.monotonic())
            else:
                patience.found()
                yield follower.took(part)
            if not follower.done:
                await asyncio.sleep(every_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    submit = _async(job_calls.submit)
    jobs = _async(job_calls.jobs)
    job = _async(job_calls.job)
    cancel_job = _async(job_calls.cancel_job)
    requeue_job = _async(job_calls.requeue_job)
    blocklist = _async(job_calls.blocklist)
    unblock_workers = _async(job_calls.unblock_workers)
    change_priority = _async(job_calls.change_priority)
    change_tags = _async(job_calls.change_tags)
    keep_job = _async(job_calls.keep_job)
    archive_job = _async(job_calls.archive_job)
    pause_job = _async(job_calls.pause_job)
    resume_job = _async(job_calls.resume_job)
    limit_job = _async(job_calls.limit_job)
    picture = _async(job_calls.picture)
    story_of_job = _async(job_calls.story_of_job)
    why_job = _async(job_calls.why_job)
    capacity = _async(worker_calls.capacity)
    doctor = _async(farm_calls.doctor)
    why_task = _async(job_calls.why_task)
    tasks = _async(job_calls.tasks)
    task = _async(job_calls.task)
    cancel_task = _async(job_calls.cancel_task)
    requeue_task = _async(job_calls.requeue_task)
    pause_task = _async(job_calls.pause_task)
    resume_task = _async(job_calls.resume_task)
    log = _async(job_calls.log)
    output = _async(job_calls.output)
    story_of_task = _async(job_calls.story_of_task)
    workers = _async(worker_calls.workers)
    worker = _async(worker_calls.worker)
    request_worker_state = _async(worker_calls.request_worker_state)
    label_worker = _async(worker_calls.label_worker)
    remove_worker = _async(worker_calls.remove_worker)
    set_sleep_schedule = _async(worker_calls.set_sleep_schedule)
    set_idle_policy = _async(worker_calls.set_idle_policy)
    idle_default = _async(worker_calls.idle_default)
    story_of_worker = _async(worker_calls.story_of_worker)
    queues = _async(worker_calls.queues)
    create_template = _async(standing_calls.create_template)
    templates = _async(standing_calls.templates)
    template = _async(standing_calls.template)
    remove_template = _async(standing_calls.remove_template)
    submit_template = _async(standing_calls.submit_template)
    create_schedule = _async(standing_calls.create_schedule)
    schedules = _async(standing_calls.schedules)
    schedule = _async(standing_calls.schedule)
    pause_schedule = _async(standing_calls.pause_schedule)
    resume_schedule = _async(standing_calls.resume_schedule)
    run_schedule = _async(standing_calls.run_schedule)
    remove_schedule = _async(standing_calls.remove_schedule)
    pause_queue = _async(rule_calls.pause_queue)
    resume_queue = _async(rule_calls.resume_queue)
    rules = _async(rule_calls.rules)
    story_of_rules = _async(rule_calls.story_of_rules)
    set_limit = _async(rule_calls.set_limit)
    set_weight = _async(rule_calls.set_weight)
    set_fair_share = _async(rule_calls.set_fair_share)
    freezes = _async(rule_calls.freezes)
    thaw_zone = _async(rule_calls.thaw_zone)
    parked = _async(farm_calls.parked)
    watched = _async(farm_calls.watched)
    parked_one = _async(farm_calls.parked_one)
    replay_parked = _async(farm_calls.replay_parked)
    drop_parked = _async(farm_calls.drop_parked)
    info = _async(farm_calls.info)
    metrics = _async(farm_calls.metrics)
    series = _async(farm_calls.series)
    activity = _async(farm_calls.activity)
    tokens = _async(farm_calls.tokens)
    create_token = _async(farm_calls.create_token)
    create_credential = _async(farm_calls.create_credential)
    revoke_token = _async(farm_calls.revoke_token)
