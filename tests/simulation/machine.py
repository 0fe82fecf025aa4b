"""A worker of the script: as obedient as an agent, and its tasks end as the script says."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from schemas.base import Message
from schemas.envelope import FromWorker
from schemas.task import Assign, AssignedAttempt, AttemptRef, Held, Outcome, Phase, Revoke, TaskFinished, TaskStarted
from schemas.worker import (
    Capacity,
    Duty,
    RequestedState,
    RequestState,
    Reset,
    Welcome,
    WorkerHeartbeat,
    WorkerOffline,
    WorkerOnline,
    WorkerStateChanged,
)


class Road(Protocol):
    """What a worker has of the world: its time, and the way to the coordinator."""

    now: datetime

    def after(self, wait: timedelta, do: Callable[[], Any]) -> None:
        """Do something a while from now."""

    def arrived(self, message: FromWorker, key: str) -> None:
        """Bring what a worker says to the coordinator."""


@dataclass(frozen=True)
class Deed:
    """What becomes of an attempt: how long it takes, and what its worker then reports. `dies`: nothing, ever again."""

    takes: timedelta = timedelta(minutes=30)
    outcome: Outcome = Outcome.COMPLETED
    exit_code: int = 0
    dies: bool = False
    more: dict[str, Any] = field(default_factory=dict)


#: What a worker does with an attempt that it was given.
Conduct = Callable[[AssignedAttempt], Deed]


class Machine:
    """One worker of the script, as obedient as an agent: it takes, reports, sleeps, drains and leaves as it is told."""

    def __init__(self, road: Road, name: str, conduct: Conduct, online: dict[str, Any]) -> None:
        self.name = name
        self.alive = False
        self.duty = Duty.AWAKE
        self.epoch = 0
        self.ran: list[str] = []
        self._road = road
        self._conduct = conduct
        self._online = {"kinds": ["render"], "queues": ["default"], "capacity": Capacity(slots=1)} | online
        self._held: dict[tuple[int, int], AssignedAttempt] = {}
        self._lives = 0
        self._seq = 0
        self._active_at = road.now

    @property
    def instance(self) -> UUID:
        """This life of its."""
        return UUID(int=(hash(self.name) & 0xFFFFFFFF) << 32 | self._lives)

    def start(self) -> None:
        """Come online."""
        self.alive, self.duty = True, Duty.AWAKE
        self._lives += 1
        self._seq = self.epoch = 0
        self._active_at = self._road.now
        self._held.clear()
        self._join()

    def stop(self, reason: str = "stopped") -> None:
        """Say goodbye, handing back what it holds."""
        refs = [AttemptRef(task=task, attempt=attempt) for task, attempt in self._held]
        self._say(WorkerOffline(reason=reason, handed_back=refs))
        self._held.clear()
        self.alive = False

    def die(self) -> None:
        """Fall silent."""
        self.alive = False

    def beat(self) -> None:
        """Say what it holds, and when it last held something."""
        if self._held:
            self._active_at = self._road.now
        beat = WorkerHeartbeat(
            duty=self.duty, holds=self._holds(), queues=self._online["queues"], last_activity_at=self._active_at
        )
        self._say(beat, "hb")

    def hear(self, command: Message) -> None:
        """Do what the coordinator says."""
        match command:
            case Welcome():
                self.epoch = command.epoch
            case Reset():
                self._join()
            case Assign():
                for attempt in command.attempts:
                    self._take(attempt)
            case Revoke():
                for stop in command.attempts:
                    self._held.pop((stop.task, stop.attempt), None)
                self.beat()
            case RequestState():
                self._obey(command)

    def _join(self) -> None:
        self._say(WorkerOnline(boot_id="simulated", software="simulated", duty=self.duty, **self._online))

    def _holds(self) -> list[Held]:
        return [Held(task=task, attempt=attempt, phase=Phase.RUNNING) for task, attempt in self._held]

    def _take(self, attempt: AssignedAttempt) -> None:
        key = (attempt.task, attempt.attempt)
        if key in self._held:
            return
        self._held[key] = attempt
        self.ran.append(attempt.name)
        deed = self._conduct(attempt)
        self._say(TaskStarted(task=key[0], attempt=key[1]))
        life = self._lives
        self._road.after(deed.takes, lambda: self._end(key, deed) if life == self._lives else None)

    def _end(self, key: tuple[int, int], deed: Deed) -> None:
        if not self.alive or self._held.pop(key, None) is None:
            return
        if deed.dies:
            self.die()
            return
        self._say(
            TaskFinished(task=key[0], attempt=key[1], outcome=deed.outcome, exit_code=deed.exit_code, **deed.more)
        )

    def _obey(self, request: RequestState) -> None:
        if not request.lazy:
            held, self._held = self._held, {}
            for task, attempt in held:
                self._say(TaskFinished(task=task, attempt=attempt, outcome=Outcome.INTERRUPTED))
        match request.state:
            case RequestedState.OFFLINE | RequestedState.RESTART if request.if_idle and self._held:
                self._say(WorkerStateChanged(duty=self.duty, reason="busy", refused=request.state))
            case RequestedState.OFFLINE:
                self.stop("as requested")
            case RequestedState.RESTART:
                self.stop("restart as requested")
                self.start()
            case RequestedState.DRAIN:
                self._become(Duty.DRAINING)
            case _:
                self._become(Duty(request.state.value))

    def _become(self, duty: Duty) -> None:
        self.duty = duty
        self._say(WorkerStateChanged(duty=duty))

    def _say(self, event: Message, key: str = "ev") -> None:
        self._seq += 1
        self._road.arrived(
            FromWorker(
                worker=self.name, epoch=self.epoch, instance=self.instance, seq=self._seq, sent_at=self._road.now,
                events=[event],
            ),
            key,
        )  # fmt: skip
