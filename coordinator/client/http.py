"""The two clients: the same calls, sent by httpx in its two manners."""

import asyncio
import getpass
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

import httpx
from pydantic import ValidationError

from coordinator.client import calls
from coordinator.client.calls import Call
from coordinator.client.errors import FarmhandError
from coordinator.client.following import Follower, Patience
from schemas.views import FINISHED_JOB, JobDetail, LogPart, Problem

T = TypeVar("T")
P = ParamSpec("P")

DEFAULT_URL: Final = "http://127.0.0.1:8600"
_TIMEOUT: Final = httpx.Timeout(70.0, connect=5.0)
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_FIRST_ERROR: Final = 400


def _options(url: str, token: str | None, actor: str | None) -> dict[str, Any]:
    """What httpx is to be made with. Raises FarmhandError for a URL that cannot be one."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    sound = bool(parsed.host) and all(sign.isalnum() or sign in "-._:" for sign in parsed.host)
    if parsed.scheme not in ("http", "https") or not sound:
        raise FarmhandError(f"{url!r} is not a URL such as {DEFAULT_URL}", status=400, kind="url")
    headers: list[tuple[bytes, bytes]] = [
        (b"X-Farmhand-Actor", (actor or _whoami()).encode()),
        (b"User-Agent", b"farmhand-client"),
    ]
    if token:
        headers.append((b"Authorization", f"Bearer {token}".encode()))
    base = str(parsed).rstrip("/") + "/api/v1/"
    return {
        "base_url": base,
        "headers": headers,
        "timeout": _TIMEOUT,
        "trust_env": parsed.host not in _LOOPBACK,
        # Reading the authorities takes longer than most calls; without TLS there is nothing to verify.
        "verify": True if parsed.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    }


def _whoami() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _request(call: Call[Any]) -> dict[str, Any]:
    return {
        "method": call.method,
        "url": call.path,
        "params": {key: value for key, value in call.query.items() if value is not None},
        "content": call.body,
        "headers": {"Content-Type": "application/json"} if call.body is not None else {},
    }


def _answer(call: Call[T], response: httpx.Response) -> T:
    if response.status_code >= _FIRST_ERROR:
        raise _problem(response)
    try:
        return call.read(response)
    except (ValidationError, KeyError, ValueError):
        raise _stranger(response) from None


def _problem(response: httpx.Response) -> FarmhandError:
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        return _stranger(response)
    kind = problem.type.rpartition(":")[2]
    return FarmhandError(problem.detail, status=response.status_code, kind=kind, field=problem.field)


def _stranger(response: httpx.Response) -> FarmhandError:
    url = response.request.url
    said = f"what answers at {url.scheme}://{url.netloc.decode()} is not a Farmhand coordinator of this release"
    return FarmhandError(f"{said} (status {response.status_code})", kind="stranger")


def _unreached(error: httpx.HTTPError, base: httpx.URL) -> FarmhandError:
    place = f"{base.scheme}://{base.netloc.decode()}"
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        said = f"no coordinator answers at {place}: start one (farmhand up), or set FARMHAND_URL"
    elif isinstance(error, httpx.TimeoutException):
        said = f"the coordinator at {place} did not answer in time"
    else:
        said = f"the connection to {place} broke: {str(error) or type(error).__name__}"
    return FarmhandError(said, kind="unreachable")


def _sync(build: Callable[P, Call[T]]) -> "Callable[Concatenate[FarmhandClient, P], T]":
    def method(client: "FarmhandClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client.send(build(*args, **kwargs))

    method.__name__, method.__doc__ = build.__name__, build.__doc__
    return method


def _async(build: Callable[P, Call[T]]) -> "Callable[Concatenate[AsyncFarmhandClient, P], Coroutine[Any, Any, T]]":
    async def method(client: "AsyncFarmhandClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await client.send(build(*args, **kwargs))

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
        self._http = httpx.Client(**_options(url, token, actor), transport=transport)

    def send(self, call: Call[T]) -> T:
        """Carry out one call."""
        try:
            response = self._http.request(**_request(call))
        except httpx.HTTPError as error:
            raise _unreached(error, self._http.base_url) from None
        return _answer(call, response)

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

    submit = _sync(calls.submit)
    jobs = _sync(calls.jobs)
    job = _sync(calls.job)
    cancel_job = _sync(calls.cancel_job)
    requeue_job = _sync(calls.requeue_job)
    blocklist = _sync(calls.blocklist)
    unblock_workers = _sync(calls.unblock_workers)
    change_priority = _sync(calls.change_priority)
    change_tags = _sync(calls.change_tags)
    keep_job = _sync(calls.keep_job)
    archive_job = _sync(calls.archive_job)
    pause_job = _sync(calls.pause_job)
    resume_job = _sync(calls.resume_job)
    limit_job = _sync(calls.limit_job)
    picture = _sync(calls.picture)
    story_of_job = _sync(calls.story_of_job)
    why_job = _sync(calls.why_job)
    capacity = _sync(calls.capacity)
    doctor = _sync(calls.doctor)
    why_task = _sync(calls.why_task)
    tasks = _sync(calls.tasks)
    task = _sync(calls.task)
    cancel_task = _sync(calls.cancel_task)
    requeue_task = _sync(calls.requeue_task)
    pause_task = _sync(calls.pause_task)
    resume_task = _sync(calls.resume_task)
    log = _sync(calls.log)
    output = _sync(calls.output)
    story_of_task = _sync(calls.story_of_task)
    workers = _sync(calls.workers)
    worker = _sync(calls.worker)
    request_worker_state = _sync(calls.request_worker_state)
    label_worker = _sync(calls.label_worker)
    remove_worker = _sync(calls.remove_worker)
    set_sleep_schedule = _sync(calls.set_sleep_schedule)
    set_idle_policy = _sync(calls.set_idle_policy)
    idle_default = _sync(calls.idle_default)
    story_of_worker = _sync(calls.story_of_worker)
    queues = _sync(calls.queues)
    create_template = _sync(calls.create_template)
    templates = _sync(calls.templates)
    template = _sync(calls.template)
    remove_template = _sync(calls.remove_template)
    submit_template = _sync(calls.submit_template)
    create_schedule = _sync(calls.create_schedule)
    schedules = _sync(calls.schedules)
    schedule = _sync(calls.schedule)
    pause_schedule = _sync(calls.pause_schedule)
    resume_schedule = _sync(calls.resume_schedule)
    run_schedule = _sync(calls.run_schedule)
    remove_schedule = _sync(calls.remove_schedule)
    pause_queue = _sync(calls.pause_queue)
    resume_queue = _sync(calls.resume_queue)
    rules = _sync(calls.rules)
    story_of_rules = _sync(calls.story_of_rules)
    set_limit = _sync(calls.set_limit)
    set_weight = _sync(calls.set_weight)
    set_fair_share = _sync(calls.set_fair_share)
    freezes = _sync(calls.freezes)
    thaw_zone = _sync(calls.thaw_zone)
    parked = _sync(calls.parked)
    parked_one = _sync(calls.parked_one)
    replay_parked = _sync(calls.replay_parked)
    drop_parked = _sync(calls.drop_parked)
    info = _sync(calls.info)
    metrics = _sync(calls.metrics)
    series = _sync(calls.series)
    activity = _sync(calls.activity)
    tokens = _sync(calls.tokens)
    create_token = _sync(calls.create_token)
    create_credential = _sync(calls.create_credential)
    revoke_token = _sync(calls.revoke_token)


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
        self._http = httpx.AsyncClient(**_options(url, token, actor), transport=transport)

    async def send(self, call: Call[T]) -> T:
        """Carry out one call."""
        try:
            response = await self._http.request(**_request(call))
        except httpx.HTTPError as error:
            raise _unreached(error, self._http.base_url) from None
        return _answer(call, response)

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

    submit = _async(calls.submit)
    jobs = _async(calls.jobs)
    job = _async(calls.job)
    cancel_job = _async(calls.cancel_job)
    requeue_job = _async(calls.requeue_job)
    blocklist = _async(calls.blocklist)
    unblock_workers = _async(calls.unblock_workers)
    change_priority = _async(calls.change_priority)
    change_tags = _async(calls.change_tags)
    keep_job = _async(calls.keep_job)
    archive_job = _async(calls.archive_job)
    pause_job = _async(calls.pause_job)
    resume_job = _async(calls.resume_job)
    limit_job = _async(calls.limit_job)
    picture = _async(calls.picture)
    story_of_job = _async(calls.story_of_job)
    why_job = _async(calls.why_job)
    capacity = _async(calls.capacity)
    doctor = _async(calls.doctor)
    why_task = _async(calls.why_task)
    tasks = _async(calls.tasks)
    task = _async(calls.task)
    cancel_task = _async(calls.cancel_task)
    requeue_task = _async(calls.requeue_task)
    pause_task = _async(calls.pause_task)
    resume_task = _async(calls.resume_task)
    log = _async(calls.log)
    output = _async(calls.output)
    story_of_task = _async(calls.story_of_task)
    workers = _async(calls.workers)
    worker = _async(calls.worker)
    request_worker_state = _async(calls.request_worker_state)
    label_worker = _async(calls.label_worker)
    remove_worker = _async(calls.remove_worker)
    set_sleep_schedule = _async(calls.set_sleep_schedule)
    set_idle_policy = _async(calls.set_idle_policy)
    idle_default = _async(calls.idle_default)
    story_of_worker = _async(calls.story_of_worker)
    queues = _async(calls.queues)
    create_template = _async(calls.create_template)
    templates = _async(calls.templates)
    template = _async(calls.template)
    remove_template = _async(calls.remove_template)
    submit_template = _async(calls.submit_template)
    create_schedule = _async(calls.create_schedule)
    schedules = _async(calls.schedules)
    schedule = _async(calls.schedule)
    pause_schedule = _async(calls.pause_schedule)
    resume_schedule = _async(calls.resume_schedule)
    run_schedule = _async(calls.run_schedule)
    remove_schedule = _async(calls.remove_schedule)
    pause_queue = _async(calls.pause_queue)
    resume_queue = _async(calls.resume_queue)
    rules = _async(calls.rules)
    story_of_rules = _async(calls.story_of_rules)
    set_limit = _async(calls.set_limit)
    set_weight = _async(calls.set_weight)
    set_fair_share = _async(calls.set_fair_share)
    freezes = _async(calls.freezes)
    thaw_zone = _async(calls.thaw_zone)
    parked = _async(calls.parked)
    parked_one = _async(calls.parked_one)
    replay_parked = _async(calls.replay_parked)
    drop_parked = _async(calls.drop_parked)
    info = _async(calls.info)
    metrics = _async(calls.metrics)
    series = _async(calls.series)
    activity = _async(calls.activity)
    tokens = _async(calls.tokens)
    create_token = _async(calls.create_token)
    create_credential = _async(calls.create_credential)
    revoke_token = _async(calls.revoke_token)
