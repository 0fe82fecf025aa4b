"""Where attempts run: the runners, the executions under way, and what these need of the agent.

The state machine decides what runs; the workshop runs it and tells how it ended.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import structlog

from schemas.spawn import TaskSpawn
from schemas.task import AssignedAttempt, TaskFinished, TaskOutput, TaskStarted
from worker_agent import outbox as box
from worker_agent.cgroups import OnExcess
from worker_agent.config import Settings, environment_of_tasks
from worker_agent.context import TaskContext
from worker_agent.execution import Execution
from worker_agent.journal import Journal, JournalError, ProcessRow
from worker_agent.leases import Lease, Leases, supported
from worker_agent.limits import Caps, Limiter, enforceable
from worker_agent.plan import Ref, Stop, Work
from worker_agent.presence import Offers
from worker_agent.processes import started_at
from worker_agent.runners.base import InstantRunner, Runner
from worker_agent.runners.program import Rules
from worker_agent.runners.registry import find_runners
from worker_agent.secrets import Secrets
from worker_agent.shipping import Shipping

log = structlog.get_logger(__name__)

#: News of running tasks (log, progress) are gathered for so long.
GATHER_S: Final = 0.3
HTTP_TIMEOUT_S: Final = 30.0
#: Between looks whether the broker has what was said.
CONFIRM_S: Final = 60.0


class Workshop:
    """The `Host` of the executions. *on_end* hears of each end; no report means that it was stopped."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        shipping: Shipping,
        boot_id: str,
        on_end: Callable[[Execution, TaskFinished | None], None],
        leases: Leases,
    ) -> None:
        self.worker = settings.worker
        self.mark = journal.mark
        self.output_root: Path = settings.outputs
        self.scratch: Path = settings.data / "scratch"
        self.http: httpx.AsyncClient | None = None
        if settings.coordinator_url is not None:
            base = str(settings.coordinator_url).rstrip("/") + "/"
            token = settings.coordinator_token
            headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
            self.http = httpx.AsyncClient(base_url=base, headers=headers, timeout=HTTP_TIMEOUT_S, trust_env=False)
        self._journal = journal
        self._shipping = shipping
        self._boot_id = boot_id
        self._on_end = on_end
        self._leases = leases
        self._executions: dict[Ref, Execution] = {}
        self._news: set[TaskContext] = set()
        self._starts: dict[int, float] = {}
        self._limiter = Limiter(settings.cgroup)
        log.debug("memory limits of tasks", enforced=self._limiter.words)
        self.equip(settings)

    def equip(self, settings: Settings) -> None:
        """Take over what may change while tasks run: the runners and what they may start."""
        self.base_environment = environment_of_tasks(settings)
        found = find_runners(
            rules=Rules(settings.executables, settings.programs, settings.roots, self.base_environment),
            callables=settings.callables,
            callables_inside=settings.callables_inside,
            interpreter=settings.python,
        )
        self.runners: Mapping[str, Runner] = found.lasting
        self.instant: Mapping[str, InstantRunner] = found.instant
        self._kinds = settings.kinds or found.offered
        self._offered = found.offered, found.supervised if supported() else [], enforceable()
        self._caps = Caps(None, settings.nice, settings.oom_score)
        self._enforce_memory = settings.enforce_memory
        self.secrets = Secrets(settings.secrets, settings.secret_readers)

    def offers(self) -> Offers:
        """What tasks may ask for by name, as it is now. Blocks for a moment."""
        runners, supervises, enforces = self._offered
        return Offers(runners, supervises, self.secrets.names(self._kinds), enforces)

    async def close(self) -> None:
        """End what runs, at once."""
        for execution in self._executions.values():
            execution.stop(0.0)
        if self._executions:
            await asyncio.wait([execution.ended() for execution in self._executions.values()], timeout=5.0)
        if self.http is not None:
            await self.http.aclose()

    # --- what the machine says ---------------------------------------------------------------------------------

    def start(self, work: Work) -> None:
        """Run it: here and now when it is instant, else as a task."""
        if work.spec is None:
            return
        execution = Execution(work, work.spec, self)
        finished = execution.run_now()
        if finished is not None:
            self._on_end(execution, finished)
            return
        self._executions[work.ref] = execution
        self.say_started(work)
        execution.start().add_done_callback(lambda task: self._ended(execution, task))

    def stop(self, stop: Stop) -> None:
        """Ask it to end."""
        execution = self._executions.get(stop.work.ref)
        if execution is not None:
            execution.stop(stop.grace_s)

    def say_started(self, work: Work) -> None:
        """It runs; also said again when somebody asks."""
        self._shipping.say(box.STARTED, TaskStarted(task=work.task, attempt=work.attempt), work.task, work.attempt)

    def _ended(self, execution: Execution, task: "asyncio.Task[TaskFinished | None]") -> None:
        del self._executions[execution.work.ref]
        self._news.discard(execution.context)
        self._tell(execution.context)
        self._on_end(execution, None if task.cancelled() else task.result())

    # --- what executions need ----------------------------------------------------------------------------------

    def log_events(self, events: list[bytes]) -> None:
        """Send these log events."""
        self._shipping.log(events)

    def touched(self, context: TaskContext) -> None:
        """It has news: they are gathered for a short while."""
        self._news.add(context)

    def added(self, spawn: TaskSpawn) -> None:
        """A task is added to the job."""
        self._shipping.say(f"{box.SPAWN}:{spawn.spec.name}", spawn, spawn.task, spawn.attempt)

    async def confirmed(self) -> None:
        """Returns when the broker has all that was said."""
        while not await self._shipping.flushed(CONFIRM_S):
            pass

    def produced(self, output: TaskOutput) -> None:
        """A file is worth showing before the end."""
        self._shipping.say(f"{box.OUTPUT}:{output.file.name}", output, output.task, output.attempt)

    def lease(self, spec: AssignedAttempt) -> Lease | None:
        """The lease of an exclusive attempt."""
        lease = self._leases.of((spec.task, spec.attempt))
        if lease is not None:
            lease.prepare = partial(self._limiter.prepare, self._caps_of(spec))
        return lease

    def _caps_of(self, spec: AssignedAttempt) -> Caps:
        return self._caps.under(spec.limits, spec.resources, enforce_memory=self._enforce_memory)

    def spawned(self, spec: AssignedAttempt, pid: int, on_excess: OnExcess) -> list[str]:
        """Keep the process within its limits; those of the task's own that cannot be kept. Journal it: should the agent
        die, the next one ends it. On a full disk its mark has to do."""
        lease = self._leases.of((spec.task, spec.attempt)) if spec.exclusive else None
        unmet = self._limiter.hold(pid, self._caps_of(spec), on_excess, lease)
        self._starts[pid] = started = started_at(pid)
        with contextlib.suppress(JournalError):
            self._journal.spawned(ProcessRow(spec.task, spec.attempt, pid, started, self._boot_id))
        wanted = {name: value for name, value in spec.limits or () if value}
        return [f"{name} {wanted[name]} ({why})" for name, why in unmet.items() if name in wanted]

    def reaped(self, pid: int) -> None:
        """It is gone."""
        self._journal.reaped(pid, self._starts.pop(pid, 0.0))
        self._limiter.release(pid)

    async def keep_limits(self) -> None:
        """For ever: see that tasks take no more memory than they may."""
        await self._limiter.run()

    async def gather_news(self) -> None:
        """For ever: send logs and progress that have gathered."""
        while True:
            await asyncio.sleep(GATHER_S)
            news, self._news = self._news, set()
            for context in news:
                self._tell(context)

    def _tell(self, context: TaskContext) -> None:
        progress = context.news()
        if progress is not None:
            self._shipping.say(box.PROGRESS, progress, progress.task, progress.attempt)
