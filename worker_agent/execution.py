"""One attempt while it runs: its commands one after the other, then its outputs, then its report.

An attempt whose commands are all instant runs at once, where it is called: no task, thread, process or directory is made
for it. The first command that fails ends the attempt; `error` says which one it was.
"""

import asyncio
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import httpx
import structlog
from pydantic import JsonValue

from schemas.job import inside
from schemas.task import AssignedAttempt, Command, Outcome, OutputFile, TaskFinished, TaskOutput, TaskProgress
from worker_agent.lines import clean
from worker_agent.logs import LogStream
from worker_agent.outputs import OutputError, describe, manifest, upload, wanted
from worker_agent.plan import Ref, Work
from worker_agent.processes import MARK
from worker_agent.runners.base import CommandError, InstantRunner, Runner

log = structlog.get_logger(__name__)

#: A report must fit one message, with room for the envelope.
REPORT_BYTES: Final = 60 * 1024
ERROR_LENGTH: Final = 3900
#: Linux refuses a variable of more than 128 KiB.
VARIABLE_BYTES: Final = 100 * 1024
#: Steps that may travel.
_MOST_STEPS: Final = 2**63 - 1


class Host(Protocol):
    """What an execution needs of the agent."""

    worker: str
    mark: str
    output_root: Path
    scratch: Path
    runners: Mapping[str, Runner]
    instant: Mapping[str, InstantRunner]
    base_environment: Mapping[str, str]
    http: httpx.AsyncClient | None

    def log_events(self, events: list[bytes]) -> None:
        """Send these log events."""

    def touched(self, execution: "Execution") -> None:
        """Its log or progress has news: look at it soon (`Execution.news`)."""

    def produced(self, output: TaskOutput) -> None:
        """A file is worth showing before the end."""

    def spawned(self, ref: Ref, pid: int) -> None:
        """A process leads the session *pid*."""

    def reaped(self, pid: int) -> None:
        """It is gone."""


class Execution:
    """An attempt that runs. It is the `Context` of its commands."""

    __slots__ = (
        "_activity",
        "_directory",
        "_done",
        "_finished_steps",
        "_host",
        "_log",
        "_moved",
        "_previews",
        "_result",
        "_scratch",
        "_spec",
        "_started_s",
        "_task",
        "_totals",
        "_touched",
        "grace_s",
        "step",
        "work",
    )

    def __init__(self, work: Work, spec: AssignedAttempt, host: Host) -> None:
        self.work = work
        self._spec = spec
        self._host = host
        self._log: LogStream | None = None
        self._directory: Path | None = None
        self._scratch: Path | None = None
        self._result: JsonValue = None
        self._totals = [command.steps for command in spec.commands]
        self._finished_steps = 0
        self._done = 0
        self._activity: str | None = None
        self._moved = False
        self._touched = False
        self._previews: list[asyncio.Task[None]] = []
        self._task: asyncio.Task[TaskFinished | None] | None = None
        self._started_s = time.monotonic()
        self.grace_s = 5.0
        self.step = 0

    # --- running -----------------------------------------------------------------------------------------------

    def run_now(self) -> TaskFinished | None:
        """Its report, when all of its commands are instant; None when it must be run as a task."""
        instant, commands = self._host.instant, self._spec.commands
        for command in commands:
            if command.name not in instant:
                return None
        try:
            for command in commands:
                instant[command.name].run_now(command.parameters, self)
                self._next_step()
        except CommandError as error:
            return self._failed(error)
        except Exception as error:  # noqa: BLE001 - a runner's fault is the task's failure
            return self._failed(CommandError(f"{type(error).__name__}: {error}"))
        finally:
            self._close_log()
        return self._finished(Outcome.COMPLETED, [])

    def start(self) -> asyncio.Task[TaskFinished | None]:
        """Run it as a task, whose result is the report; None when it was stopped."""
        self._task = asyncio.create_task(self._run())
        return self._task

    def stop(self, grace_s: float) -> None:
        """Ask its processes to end, and kill them *grace_s* later; a second call can only be harder."""
        self.grace_s = grace_s
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
        try:
            for command in self._spec.commands:
                exit_code = await self._command(command)
                self._next_step()
            if self._previews:
                await asyncio.gather(*self._previews)
            outputs = await self._collect()
        except CommandError as error:
            return self._failed(error)
        except asyncio.CancelledError:
            return None
        except Exception as error:
            log.exception("a runner failed in an unexpected way", task=self.task, attempt=self.attempt)
            return self._failed(CommandError(f"{type(error).__name__}: {error}"))
        finally:
            for preview in self._previews:
                preview.cancel()
            if self._scratch is not None:
                self._scratch.unlink(missing_ok=True)
            self._close_log()
        return self._finished(Outcome.COMPLETED, outputs, exit_code)

    async def _command(self, command: Command) -> int | None:
        host = self._host
        if command.name in host.instant:
            host.instant[command.name].run_now(command.parameters, self)
            return None
        runner = host.runners.get(command.name)
        if runner is None:
            known = ", ".join(sorted([*host.runners, *host.instant]))
            raise CommandError(f"this worker has no runner {command.name!r}; it has: {known}")
        return await runner.run(command.parameters, self)

    def _next_step(self) -> None:
        self._finished_steps += self._totals[self.step]
        self._done = 0
        self.step += 1

    # --- the end -------------------------------------------------------------------------------------------------

    async def _collect(self) -> list[OutputFile]:
        if self._directory is None:
            return []
        try:
            outputs = await asyncio.to_thread(manifest, self._directory)
            return [await self._stored(output) for output in outputs]
        except OutputError as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"cannot read the outputs in {self._directory}: {error}") from None

    async def _stored(self, output: OutputFile) -> OutputFile:
        """*output*, its copy sent to the coordinator when that is wanted; when that fails it stays by reference."""
        http = self._host.http
        if http is None or self._directory is None or not wanted(output, self._spec.upload):
            return output
        try:
            await upload(http, self.work.ref, self._directory, output, self._host.worker)
        except OutputError as error:
            self.log(f"[farmhand] {error}; it stays in {self._directory}\n")
            return output
        return output.model_copy(update={"stored": True})

    def _failed(self, error: CommandError) -> TaskFinished:
        command = self._spec.commands[min(self.step, len(self._spec.commands) - 1)]
        where = (
            f"command {self.step + 1} of {len(self._spec.commands)} ({command.name}): "
            if len(self._spec.commands) > 1
            else ""
        )
        words = clean(where + str(error))[:ERROR_LENGTH]
        return TaskFinished(
            task=self.task,
            attempt=self.attempt,
            outcome=Outcome.FAILED,
            exit_code=error.exit_code,
            error=words,
            run_s=round(time.monotonic() - self._started_s, 6),
        )

    def _finished(self, outcome: Outcome, outputs: list[OutputFile], exit_code: int | None = None) -> TaskFinished:
        finished = TaskFinished(
            task=self._spec.task,
            attempt=self._spec.attempt,
            outcome=outcome,
            exit_code=exit_code,
            result=self._result if outcome is Outcome.COMPLETED else None,
            outputs=outputs,
            run_s=round(time.monotonic() - self._started_s, 6),
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

    # --- news ------------------------------------------------------------------------------------------------------

    def news(self) -> TaskProgress | None:
        """Send the log that has gathered; the progress, when it has moved."""
        self._touched = False
        if self._log is not None and (events := self._log.flush()):
            self._host.log_events(events)
        if not self._moved:
            return None
        self._moved = False
        total = min(sum(self._totals), _MOST_STEPS)
        done = min(self._finished_steps + self._done, total)
        self.work.done = done
        return TaskProgress(task=self.task, attempt=self.attempt, done=done, total=total, activity=self._activity)

    def _touch(self) -> None:
        if not self._touched:
            self._touched = True
            self._host.touched(self)

    def _close_log(self) -> None:
        if self._log is not None and (events := self._log.flush()):
            self._host.log_events(events)

    # --- the context of its commands -----------------------------------------------------------------------------

    @property
    def task(self) -> int:
        """The task's number."""
        return self._spec.task

    @property
    def attempt(self) -> int:
        """Which attempt of the task this is."""
        return self._spec.attempt

    def directory(self) -> Path:
        """The attempt's own directory, made when first asked for."""
        if self._directory is None:
            path = self._below(self._spec.directory)
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CommandError(
                    f"cannot make the output directory {path} ({error.strerror}): "
                    "free space there, or set output_root of this worker"
                ) from None
            self._directory = path
        return self._directory

    def _below(self, directory: str) -> Path:
        try:
            inside(directory)
        except ValueError as error:
            raise CommandError(str(error)) from None
        return self._host.output_root / directory

    def environment(self) -> dict[str, str]:
        """The environment for a process of this task."""
        spec = self._spec
        return {
            **self._host.base_environment,
            **spec.environment,
            **self._inputs(),
            "FARMHAND_TASK": str(spec.task),
            "FARMHAND_ATTEMPT": str(spec.attempt),
            "FARMHAND_JOB": str(spec.job),
            "FARMHAND_WORKER": self._host.worker,
            "FARMHAND_OUTPUT": str(self.directory()),
            MARK: self._host.mark,
        }

    def _inputs(self) -> dict[str, str]:
        """The directories of the accepted inputs: all of them, and by name. A variable cannot hold very many: then they
        are in the file that `FARMHAND_INPUTS_FILE` names."""
        root = self._host.output_root
        named = {
            source.name: [str(root / f"{source.first + n}/{attempt}") for n, attempt in enumerate(source.attempts)]
            for source in self._spec.inputs
        }
        whole = json.dumps(named)
        if len(whole) <= VARIABLE_BYTES:
            joined = os.pathsep.join(path for paths in named.values() for path in paths)
            return {"FARMHAND_INPUTS": joined, "FARMHAND_INPUTS_JSON": whole}
        path = self._host.scratch / f"inputs-{self.task}-{self.attempt}.json"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(whole, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"cannot write {path} ({error.strerror}): free space there") from None
        self._scratch = path
        return {"FARMHAND_INPUTS_FILE": str(path)}

    def log(self, text: str | bytes) -> None:
        """Add to the task's log."""
        if self._log is None:
            self._log = LogStream(self._spec.task, self._spec.attempt, self._spec.day)
        if events := self._log.write(text if isinstance(text, bytes) else text.encode("utf-8", "replace")):
            self._host.log_events(events)
        if self._task is not None:
            self._touch()

    def progress(self, done: int | None, total: int | None = None, activity: str | None = None) -> None:
        """Steps of this command done, of how many, and what it is doing."""
        if total:
            self._totals[self.step] = total
        if done is not None:
            self._done = min(done, self._totals[self.step])
        if activity is not None:
            self._activity = clean(activity)[:200]
        self._moved = True
        self._touch()

    def result(self, value: JsonValue) -> None:
        """The task's result; the last one counts."""
        self._result = value

    def output(self, name: str) -> None:
        """A file in the directory is worth showing before the end."""
        self._previews.append(asyncio.create_task(self._preview(name)))

    async def _preview(self, name: str) -> None:
        directory = self.directory()
        try:
            output = await self._stored(await asyncio.to_thread(describe, directory, name))
        except (OutputError, OSError) as error:
            self.log(f"[farmhand] the output {name!r} cannot be shown: {error}\n")
            return
        self._host.produced(
            TaskOutput(
                task=self.task,
                attempt=self.attempt,
                file=output,
                location=None if output.stored else str(directory / name),
            )
        )

    @property
    def _ref(self) -> Ref:
        return (self._spec.task, self._spec.attempt)

    def spawned(self, pid: int) -> None:
        """A process leads the session *pid*."""
        self._host.spawned(self._ref, pid)

    def reaped(self, pid: int) -> None:
        """It is gone."""
        self._host.reaped(pid)
