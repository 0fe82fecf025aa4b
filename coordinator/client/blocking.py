"""The client for ordinary code: each call waits for its answer."""

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

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


def _sync(build: Callable[P, Call[T]]) -> "Callable[Concatenate[FarmhandClient, P], T]":
    def method(client: "FarmhandClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client.send(build(*args, **kwargs))

    method.__name__, method.__doc__ = build.__name__, build.__doc__
    return method


class FarmhandClient:
    """A farm, from ordinary code. Raises FarmhandError for whatever goes wrong. Close it, or use it in `with`."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        actor: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Talk to the coordinator at *url*; *actor* is who asks, by default this user at this machine."""
        self._http = httpx.Client(**options(url, token, actor), transport=transport)

    def send(self, call: Call[T]) -> T:
        """Carry out one call."""
        try:
            response = self._http.request(**request_of(call))
        except httpx.HTTPError as error:
            raise unreached(error, self._http.base_url) from None
        return answer_of(call, response)

    def watch(self, job: int, *, every_s: float = 1.0, patience_s: float = 60.0) -> Iterator[JobDetail]:
        """The job now and then, until it is finished. Goes on for *patience_s* when the coordinator is away."""
        patience = Patience(patience_s)
        while True:
            try:
                view = self.job(job)
            except FarmhandError as error:
                patience.lost(error, time.monotonic())
            else:
                patience.found()
                yield view
                if view.state in FINISHED_JOB:
                    return
            time.sleep(every_s)

    def follow_log(
        self, task: int, *, attempt: int | None = None, every_s: float = 1.0, patience_s: float = 60.0
    ) -> Iterator[LogPart]:
        """The log of an attempt as it grows, until the attempt has ended."""
        follower, patience = Follower(task, attempt), Patience(patience_s)
        while not follower.done:
            try:
                part = self.send(follower.call())
            except FarmhandError as error:
                patience.lost(error, time.monotonic())
            else:
                patience.found()
                yield follower.took(part)
            if not follower.done:
                time.sleep(every_s)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    submit = _sync(job_calls.submit)
    jobs = _sync(job_calls.jobs)
    job = _sync(job_calls.job)
    cancel_job = _sync(job_calls.cancel_job)
    requeue_job = _sync(job_calls.requeue_job)
    blocklist = _sync(job_calls.blocklist)
    unblock_workers = _sync(job_calls.unblock_workers)
    change_priority = _sync(job_calls.change_priority)
    change_tags = _sync(job_calls.change_tags)
    keep_job = _sync(job_calls.keep_job)
    archive_job = _sync(job_calls.archive_job)
    pause_job = _sync(job_calls.pause_job)
    resume_job = _sync(job_calls.resume_job)
    limit_job = _sync(job_calls.limit_job)
    picture = _sync(job_calls.picture)
    story_of_job = _sync(job_calls.story_of_job)
    why_job = _sync(job_calls.why_job)
    capacity = _sync(worker_calls.capacity)
    doctor = _sync(farm_calls.doctor)
    why_task = _sync(job_calls.why_task)
    tasks = _sync(job_calls.tasks)
    task = _sync(job_calls.task)
    cancel_task = _sync(job_calls.cancel_task)
    requeue_task = _sync(job_calls.requeue_task)
    pause_task = _sync(job_calls.pause_task)
    resume_task = _sync(job_calls.resume_task)
    log = _sync(job_calls.log)
    output = _sync(job_calls.output)
    story_of_task = _sync(job_calls.story_of_task)
    workers = _sync(worker_calls.workers)
    worker = _sync(worker_calls.worker)
    request_worker_state = _sync(worker_calls.request_worker_state)
    label_worker = _sync(worker_calls.label_worker)
    remove_worker = _sync(worker_calls.remove_worker)
    set_sleep_schedule = _sync(worker_calls.set_sleep_schedule)
    set_idle_policy = _sync(worker_calls.set_idle_policy)
    idle_default = _sync(worker_calls.idle_default)
    story_of_worker = _sync(worker_calls.story_of_worker)
    queues = _sync(worker_calls.queues)
    create_template = _sync(standing_calls.create_template)
    templates = _sync(standing_calls.templates)
    template = _sync(standing_calls.template)
    remove_template = _sync(standing_calls.remove_template)
    submit_template = _sync(standing_calls.submit_template)
    create_schedule = _sync(standing_calls.create_schedule)
    schedules = _sync(standing_calls.schedules)
    schedule = _sync(standing_calls.schedule)
    pause_schedule = _sync(standing_calls.pause_schedule)
    resume_schedule = _sync(standing_calls.resume_schedule)
    run_schedule = _sync(standing_calls.run_schedule)
    remove_schedule = _sync(standing_calls.remove_schedule)
    pause_queue = _sync(rule_calls.pause_queue)
    resume_queue = _sync(rule_calls.resume_queue)
    rules = _sync(rule_calls.rules)
    story_of_rules = _sync(rule_calls.story_of_rules)
    set_limit = _sync(rule_calls.set_limit)
    set_weight = _sync(rule_calls.set_weight)
    set_fair_share = _sync(rule_calls.set_fair_share)
    freezes = _sync(rule_calls.freezes)
    thaw_zone = _sync(rule_calls.thaw_zone)
    parked = _sync(farm_calls.parked)
    watched = _sync(farm_calls.watched)
    parked_one = _sync(farm_calls.parked_one)
    replay_parked = _sync(farm_calls.replay_parked)
    drop_parked = _sync(farm_calls.drop_parked)
    info = _sync(farm_calls.info)
    metrics = _sync(farm_calls.metrics)
    series = _sync(farm_calls.series)
    activity = _sync(farm_calls.activity)
    tokens = _sync(farm_calls.tokens)
    create_token = _sync(farm_calls.create_token)
    create_credential = _sync(farm_calls.create_credential)
    revoke_token = _sync(farm_calls.revoke_token)
