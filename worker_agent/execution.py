"""One attempt while it runs: its commands one after the other, then its outputs, then its report.

An attempt whose commands are all instant runs at once, where it is called: no task, thread, process or directory is
made for it. The first command that fails ends the attempt; `error` says which one it was.
"""

import asyncio
import time
import traceback
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

import structlog

from schemas.task import AssignedAttempt, Cause, Command, Outcome, OutputFile, TaskFinished, secrets_named
from worker_agent.context import Surroundings, TaskContext
from worker_agent.logs import clean
from worker_agent.outputs import OutputError, manifest
from worker_agent.plan import Work
from worker_agent.runners.base import CommandError, InstantRunner, LeaseOverError, Runner, cause_of, is_supervised
from worker_agent.secrets import SecretError, Secrets

log = structlog.get_logger(__name__)

#: A report must fit one message, with room for the envelope.
REPORT_BYTES: Final = 60 * 1024
#: More tasks than this no attempt may add: the farm fails it then.
MOST_ADDED: Final = 1000
ERROR_LENGTH: Final = 3900


class Host(Surroundings, Protocol):
    """What an execution needs of the agent."""

    @property
    def runners(self) -> Mapping[str, Runner]:
        """Runners that take their time."""

    @property
    def secrets(self) -> Secrets:
        """What tasks may ask for by name."""

    async def confirmed(self) -> None:
        """Returns when the broker has all that was said."""

    @property
    def instant(self) -> Mapping[str, InstantRunner]:
        """Runners that take none."""


class Execution:
    """An attempt that runs."""

    __slots__ = ("_host", "_spec", "_started_s", "_task", "context", "work")

    def __init__(self, work: Work, spec: AssignedAttempt, host: Host) -> None:
        self.work = work
        self.context = TaskContext(work, spec, host)
        self._spec = spec
        self._host = host
        self._task: asyncio.Task[TaskFinished | None] | None = None
        self._started_s = time.monotonic()

    # --- running -----------------------------------------------------------------------------------------------

    def run_now(self) -> TaskFinished | None:
        """Its report, when all of its commands are instant; None when it must be run as a task."""
        instant, commands = self._host.instant, self._spec.commands
        if self._spec.exclusive:
            return None
        for command in commands:
            if command.name not in instant:
                return None
        if secrets_named(self._spec.environment, commands):
            return None
        try:
            for command in commands:
                instant[command.name].run_now(command.parameters, self.context)
                self.context.next_step()
        except CommandError as error:
            return self._failed(error)
        except Exception as error:  # noqa: BLE001 - a runner's fault is the task's failure
            return self._failed(CommandError(f"{type(error).__name__}: {error}", cause=cause_of(error)))
        finally:
            self.context.close()
        return self._finished(Outcome.COMPLETED, [])

    def start(self) -> asyncio.Task[TaskFinished | None]:
        """Run it as a task, whose result is the report; None when it was stopped."""
        self.context.begin()
        self._task = asyncio.create_task(self._run())
        return self._task

    def stop(self, grace_s: float) -> None:
        """Ask its processes to end, and kill them *grace_s* later; a second call can only be harder."""
        self.context.grace_s = grace_s
        if self._task is not None:
            self._task.cancel()

    def ended(self) -> asyncio.Task[TaskFinished | None]:
        """The task that runs it; only after `start`."""
        if self._task is None:
            raise RuntimeError("not started")
        return self._task

    def stopped(self) -> TaskFinished:
        """The report of an attempt that was stopped; the machine says as what."""
        return self._finished(Outcome.INTERRUPTED, [])

    async def _run(self) -> TaskFinished | None:
        exit_code: int | None = None
        limit = asyncio.timeout(self._spec.max_run_s)
        try:
            async with limit:
                if secrets := secrets_named(self._spec.environment, self._spec.commands):
                    self.context.learn(await asyncio.to_thread(self._read, secrets))
                for command in self._spec.commands:
                    exit_code = await self._command(command)
                    self.context.next_step()
                await self._said()
                outputs = await self._collect()
        except SecretError as error:
            return self._failed(CommandError(str(error), cause=Cause.UNAVAILABLE), before_start=True)
        except (CommandError, TimeoutError) as error:
            return self._failed(self._fault(error, out_of_time=limit.expired()))
        except LeaseOverError as error:
            return self._finished(Outcome.INTERRUPTED, []).model_copy(update={"error": str(error)})
        except asyncio.CancelledError:
            return None
        except Exception as error:  # noqa: BLE001 - a runner's fault is the task's failure
            words = self.context.masked("".join(traceback.format_exception(error)))
            log.error(  # noqa: TRY400 - the traceback, masked
                "a runner failed in an unexpected way", task=self.work.task, attempt=self.work.attempt, error=words
            )
            return self._failed(CommandError(f"{type(error).__name__}: {error}"))
        finally:
            for preview in self.context.previews:
                preview.cancel()
            self.context.close()
        return self._finished(Outcome.COMPLETED, outputs, exit_code)

    def _read(self, secrets: Iterable[str]) -> dict[str, str]:
        return {name: self._host.secrets.read(name, self._spec.kind) for name in secrets}

    async def _said(self) -> None:
        """What it has added is with the broker, what it shows is sent: a report that survives without what its attempt
        has added would lose that."""
        if self.context.spawns:
            await self._host.confirmed()
        if self.context.previews:
            await asyncio.gather(*self.context.previews)

    async def _command(self, command: Command) -> int | None:
        host = self._host
        if self._spec.exclusive and not is_supervised(host.runners.get(command.name)):
            raise CommandError(
                "this worker cannot run it in an exclusive task: it is no process that can be supervised"
            )
        if command.name in host.instant:
            host.instant[command.name].run_now(command.parameters, self.context)
            return None
        runner = host.runners.get(command.name)
        if runner is None:
            known = ", ".join(sorted([*host.runners, *host.instant]))
            raise CommandError(f"this worker has no runner {command.name!r}; it has: {known}")
        code = await runner.run(command.parameters, self.context)
        if self.context.refused is not None:
            raise CommandError(self.context.refused, cause=Cause.HOPELESS)
        return code

    # --- the end -------------------------------------------------------------------------------------------------

    async def _collect(self) -> list[OutputFile]:
        if self.context.made is None:
            return []
        try:
            outputs = await asyncio.to_thread(manifest, self.context.made)
            self.context.check_names(outputs)
            return [await self.context.stored(output) for output in outputs]
        except OutputError as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            words = f"cannot read the outputs in {self.context.made}: {error}"
            raise CommandError(words, cause=cause_of(error)) from None

    def _fault(self, error: CommandError | TimeoutError, *, out_of_time: bool) -> CommandError:
        """What to report when it ends by *error*, which is the farm's limit of time or the runner's own."""
        if out_of_time:
            words = f"it ran longer than the {self._spec.max_run_s:g} s allowed (max_run_s)"
            return CommandError(words, cause=Cause.TIME)
        return error if isinstance(error, CommandError) else CommandError(f"TimeoutError: {error}")

    def _failed(self, error: CommandError, *, before_start: bool = False) -> TaskFinished:
        if self.context.excess:
            error = CommandError(self.context.excess, exit_code=error.exit_code, cause=Cause.MEMORY)
        command = self._spec.commands[min(self.context.step, len(self._spec.commands) - 1)]
        where = (
            f"command {self.context.step + 1} of {len(self._spec.commands)} ({command.name}): "
            if len(self._spec.commands) > 1 and not before_start
            else ""
        )
        words = clean(where + self.context.masked(str(error)))[:ERROR_LENGTH]
        return TaskFinished(
            task=self._spec.task,
            attempt=self._spec.attempt,
            outcome=Outcome.FAILED,
            exit_code=error.exit_code,
            error=words,
            cause=error.cause,
            run_s=round(time.monotonic() - self._started_s, 6),
        )

    def _finished(self, outcome: Outcome, outputs: list[OutputFile], exit_code: int | None = None) -> TaskFinished:
        finished = TaskFinished(
            task=self._spec.task,
            attempt=self._spec.attempt,
            outcome=outcome,
            exit_code=exit_code,
            result=self.context.value if outcome is Outcome.COMPLETED else None,
            outputs=outputs,
            run_s=round(time.monotonic() - self._started_s, 6),
            added=list(self.context.spawns)[:MOST_ADDED] or None,
        )
        if outputs or finished.result is not None:
            size = len(finished.model_dump_json())
            if size > REPORT_BYTES:
                return self._failed(
                    CommandError(
                        f"its result and the names of its outputs take {size} bytes, more than the {REPORT_BYTES} "
                        "allowed: write large results to a file, put many files into an archive"
                    )
                )
        return finished
