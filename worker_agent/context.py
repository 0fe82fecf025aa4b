"""What the commands of one attempt may use: its directory and environment, its log, its progress, its result."""

import asyncio
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import httpx
from pydantic import JsonValue, ValidationError

from schemas.base import undecodable
from schemas.job import TaskSpec, inside
from schemas.spawn import TaskSpawn, mark_of
from schemas.task import AssignedAttempt, OutputFile, SecretRef, TaskOutput, TaskProgress
from worker_agent.cgroups import OnExcess
from worker_agent.leases import Lease
from worker_agent.logs import LogStream, clean
from worker_agent.masking import Mask
from worker_agent.outputs import OutputError, describe, upload, wanted
from worker_agent.plan import Work
from worker_agent.processes import MARK
from worker_agent.runners.base import CommandError, LeaseOverError

#: Linux refuses a variable of more than 128 KiB.
VARIABLE_BYTES: Final = 100 * 1024
#: Steps that may travel.
_MOST_STEPS: Final = 2**63 - 1


class Surroundings(Protocol):
    """What a context needs of the agent."""

    worker: str
    mark: str
    output_root: Path
    scratch: Path
    http: httpx.AsyncClient | None

    @property
    def base_environment(self) -> Mapping[str, str]:
        """The variables that every process starts with."""

    def log_events(self, events: list[bytes]) -> None:
        """Send these log events."""

    def touched(self, context: "TaskContext") -> None:
        """Its log or progress has news: look at it soon (`TaskContext.news`)."""

    def added(self, spawn: TaskSpawn) -> None:
        """A task is added to the job."""

    def produced(self, output: TaskOutput) -> None:
        """A file is worth showing before the end."""

    def lease(self, spec: AssignedAttempt) -> Lease | None:
        """The lease of an exclusive attempt."""

    def spawned(self, spec: AssignedAttempt, pid: int, on_excess: OnExcess) -> list[str]:
        """A process of *spec* leads the session *pid*; *on_excess* hears when it was ended for its memory. Which limits
        cannot be kept, and why."""

    def reaped(self, pid: int) -> None:
        """It is gone."""


class TaskContext:
    """The `Context` of an attempt's commands, one after the other (`next_step`)."""

    __slots__ = (
        "_activity",
        "_done",
        "_finished_steps",
        "_log",
        "_mask",
        "_moved",
        "_scratch",
        "_secrets",
        "_sent",
        "_spec",
        "_surroundings",
        "_totals",
        "_touched",
        "excess",
        "grace_s",
        "made",
        "previews",
        "refused",
        "spawns",
        "step",
        "value",
        "work",
    )

    def __init__(self, work: Work, spec: AssignedAttempt, surroundings: Surroundings) -> None:
        self.work = work
        self.made: Path | None = None
        self.value: JsonValue = None
        self.previews: list[asyncio.Task[None]] = []
        #: How many tasks it has added, and why one could not be.
        #: The marks of the tasks that it has added.
        self.spawns: dict[str, None] = {}
        self.refused: str | None = None
        self.grace_s = 5.0
        #: What it took too much of, when it was ended for that.
        self.excess = ""
        self.step = 0
        self._spec = spec
        self._surroundings = surroundings
        self._log: LogStream | None = None
        self._scratch: Path | None = None
        self._secrets: Mapping[str, str] = {}
        self._sent: dict[str, str] = {}
        self._mask: Mask | None = None
        self._totals = [command.steps for command in spec.commands]
        self._finished_steps = 0
        self._done = 0
        self._activity: str | None = None
        self._moved = False
        # Until `begin`: what is over in a moment has no news.
        self._touched = True

    def begin(self) -> None:
        """It runs for a while: its news are sent in between."""
        self._touched = False

    @property
    def task(self) -> int:
        """The task's number."""
        return self._spec.task

    @property
    def attempt(self) -> int:
        """Which attempt of the task this is."""
        return self._spec.attempt

    def learn(self, secrets: Mapping[str, str]) -> None:
        """What is secret from now on: by name, for the environment; never for the log or any other word."""
        self._secrets = secrets
        self._mask = Mask(secrets.values())

    def next_step(self) -> None:
        """The next command begins."""
        self._finished_steps += self._totals[self.step]
        self._done = 0
        self.step += 1

    # --- directory and environment -----------------------------------------------------------------------------

    def directory(self) -> Path:
        """The attempt's own directory, made when first asked for."""
        if self.made is None:
            path = self._below(self._spec.directory)
            try:
                path.mkdir(parents=True, exist_ok=True)
                if any(path.iterdir()):
                    raise CommandError(
                        f"the output directory {path} is not empty: move away what another farm has left there"
                    )
            except OSError as error:
                raise CommandError(
                    f"cannot make the output directory {path} ({error.strerror}): "
                    "free space there, or set output_root of this worker"
                ) from None
            self.made = path
        return self.made

    def _below(self, directory: str) -> Path:
        try:
            inside(directory)
        except ValueError as error:
            raise CommandError(str(error)) from None
        return self._surroundings.output_root / directory

    def environment(self) -> dict[str, str]:
        """The environment for a process of this task."""
        spec = self._spec
        return {
            **self._surroundings.base_environment,
            **{name: self.plain(value) for name, value in spec.environment.items()},
            **self._inputs(),
            "FARMHAND_TASK": str(spec.task),
            "FARMHAND_ATTEMPT": str(spec.attempt),
            "FARMHAND_JOB": str(spec.job),
            "FARMHAND_WORKER": self._surroundings.worker,
            "FARMHAND_OUTPUT": str(self.directory()),
            MARK: self._surroundings.mark,
        }

    def plain(self, value: object) -> str:
        """The variable that *value* means: a text, or a secret by its name."""
        name = SecretRef.name_in(value)
        if name is None and isinstance(value, str):
            return value
        if name is None or name not in self._secrets:
            raise CommandError("a variable must be a text, or {secret: NAME}")
        return self._secrets[name]

    @property
    def lease(self) -> Lease | None:
        """What limits an exclusive attempt."""
        if not self._spec.exclusive:
            return None
        lease = self._surroundings.lease(self._spec)
        if lease is None:
            raise LeaseOverError("it has no lease any more")
        return lease

    @property
    def scratch(self) -> Path:
        """A directory for what is needed while it runs and never an output; deleted at the end, when it was made."""
        if self._scratch is None:
            self._scratch = self._surroundings.scratch / f"{self.task}-{self.attempt}"
        return self._scratch

    def input_directories(self) -> list[Path]:
        """The directories of the accepted inputs."""
        return [path for paths in self._named_inputs().values() for path in paths]

    def _named_inputs(self) -> dict[str, list[Path]]:
        root = self._surroundings.output_root
        return {
            source.name: [root / f"{source.first + n}/{attempt}" for n, attempt in enumerate(source.attempts)]
            for source in self._spec.inputs
        }

    def _inputs(self) -> dict[str, str]:
        """The directories of the accepted inputs: all of them, and by name. A variable cannot hold very many: then they
        are in the file that `FARMHAND_INPUTS_FILE` names."""
        named = {name: [str(path) for path in paths] for name, paths in self._named_inputs().items()}
        whole = json.dumps(named)
        if len(whole) <= VARIABLE_BYTES:
            joined = os.pathsep.join(path for paths in named.values() for path in paths)
            return {"FARMHAND_INPUTS": joined, "FARMHAND_INPUTS_JSON": whole}
        path = self.scratch / "inputs.json"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(whole, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"cannot write {path} ({error.strerror}): free space there") from None
        return {"FARMHAND_INPUTS_FILE": str(path)}

    # --- words ---------------------------------------------------------------------------------------------------

    def log(self, text: str | bytes) -> None:
        """Add to the task's log."""
        if self._log is None:
            self._log = LogStream(self._spec.task, self._spec.attempt, self._spec.day)
        raw = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
        if self._mask is not None:
            raw = self._mask.feed(raw)
        if events := self._log.write(raw):
            self._surroundings.log_events(events)
        self._touch()

    def progress(self, done: int | None, total: int | None = None, activity: str | None = None) -> None:
        """Steps of this command done, of how many, and what it is doing."""
        if total:
            self._totals[self.step] = total
        if done is not None:
            self._done = min(done, self._totals[self.step])
        if activity is not None:
            self._activity = self.masked(clean(activity))[:200]
        self._moved = True
        self._touch()

    def result(self, value: JsonValue) -> None:
        """The task's result; the last one counts."""
        self.value = value if self._mask is None else self._mask.value(value)

    def masked(self, text: str) -> str:
        """*text* without what is secret."""
        return text if self._mask is None else self._mask.text(text)

    def news(self) -> TaskProgress | None:
        """Send the log that has gathered; the progress, when it has moved."""
        self._touched = False
        if self._log is not None and (events := self._log.flush()):
            self._surroundings.log_events(events)
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
            self._surroundings.touched(self)

    def close(self) -> None:
        """The end: send what is left of the log."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
        if self._log is not None:
            if self._mask is not None and (rest := self._mask.close()):
                self._surroundings.log_events(self._log.write(rest))
            if events := self._log.flush():
                self._surroundings.log_events(events)

    # --- files ---------------------------------------------------------------------------------------------------

    def spawn(self, spec: JsonValue) -> None:
        """Add a task to the job; its name is its key. What is no task fails the attempt."""
        if spec is None:
            self.refused = "::spawn: what follows the word is not JSON on one line"
            return
        try:
            task = TaskSpec.model_validate(spec)
        except ValidationError as error:
            self.refused = f"::spawn: {undecodable(error)}"
            return
        self.spawns[mark_of(task.name)] = None
        self._surroundings.added(TaskSpawn(task=self.task, attempt=self.attempt, spec=task))

    def output(self, name: str) -> None:
        """A file in the directory is worth showing before the end."""
        self.previews.append(asyncio.create_task(self._preview(name, self.previews[-1:])))

    async def _preview(self, name: str, earlier: Sequence[asyncio.Task[None]]) -> None:
        """One after the other: the last one told is the job's last picture."""
        directory = self.directory()
        if earlier:
            await asyncio.wait(earlier)
        try:
            output = await asyncio.to_thread(describe, directory, name)
            self.check_names([output])
            output = await self.stored(output)
        except (OutputError, OSError) as error:
            self.log(f"[farmhand] the output {name!r} cannot be shown: {error}\n")
            return
        self._surroundings.produced(
            TaskOutput(
                task=self.task,
                attempt=self.attempt,
                file=output,
                location=None if output.stored else str(directory / name),
            )
        )

    def check_names(self, outputs: Sequence[OutputFile]) -> None:
        """Raise `OutputError` when a name, which is told and stored, holds a secret."""
        for output in outputs:
            if self.masked(output.name) != output.name:
                raise OutputError("the name of an output holds a secret: rename the file")

    async def stored(self, output: OutputFile) -> OutputFile:
        """*output*, its copy sent to the coordinator when that is wanted; when that fails it stays by reference."""
        http = self._surroundings.http
        if self._sent.get(output.name) == output.digest:
            return output.model_copy(update={"stored": True})
        if http is None or self.made is None or not wanted(output, self._spec.upload):
            return output
        try:
            await upload(http, self.work.ref, self.made, output, self._surroundings.worker)
        except OutputError as error:
            self.log(f"[farmhand] {error}; it stays in {self.made}\n")
            return output
        self._sent[output.name] = output.digest
        return output.model_copy(update={"stored": True})

    # --- processes -----------------------------------------------------------------------------------------------

    def spawned(self, pid: int) -> None:
        """A process leads the session *pid*."""
        for unmet in self._surroundings.spawned(self._spec, pid, self._exceeded):
            self.log(f"[farmhand] unmet limit: {unmet}\n")

    def _exceeded(self, words: str) -> None:
        self.excess = words

    def reaped(self, pid: int) -> None:
        """It is gone."""
        self._surroundings.reaped(pid)
