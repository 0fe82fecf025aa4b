"""What the state machine knows of an attempt, and what it can tell the shell to do.

Data only, shared by `machine` (writes it), `journal` (stores it) and `agent` (carries it out).
"""

from dataclasses import dataclass, field

from schemas.task import AssignedAttempt, Outcome, Phase
from schemas.worker import WorkerOffline, WorkerStateChanged

Ref = tuple[int, int]


@dataclass(slots=True, eq=False)
class Work:
    """An attempt in the agent's hands. `report` is its `task.finished` as JSON, from its end to its verdict, and on to
    its promotion when it was `accepted`; `due_s` is when the report is sent again."""

    task: int
    attempt: int
    epoch: int = 0
    slots: int = 1
    spec: AssignedAttempt | None = None
    directory: str | None = None
    promote: str | None = None
    phase: Phase = Phase.RECEIVED
    done: int | None = None
    outcome: Outcome | None = None
    report: bytes | None = None
    stopped_as: Outcome | None = None
    stopped_why: str = ""
    accepted: bool = False
    due_s: float | None = None
    sendings: int = 0
    exclusive: bool = False

    @property
    def ref(self) -> Ref:
        """Task and attempt."""
        return (self.task, self.attempt)


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask the attempt's processes to end, and kill them `grace_s` seconds later."""

    work: Work
    grace_s: float


@dataclass(slots=True)
class Plan:
    """Instructions. The first block is the journal's, and carried out first."""

    taken: list[Work] = field(default_factory=list)
    reported: list[Work] = field(default_factory=list)
    accepted: list[Work] = field(default_factory=list)
    ended: list[Ref] = field(default_factory=list)
    barred: list[Ref] = field(default_factory=list)
    pruned: list[Ref] = field(default_factory=list)

    runs: list[Work] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    sends: list[Work] = field(default_factory=list)
    restarted: list[Work] = field(default_factory=list)
    promotes: list[Work] = field(default_factory=list)
    discards: list[Work] = field(default_factory=list)
    announces: list[WorkerStateChanged] = field(default_factory=list)
    online: bool = False
    #: A heartbeat is wanted at once: what is exclusive may not start before it is acknowledged.
    beat: bool = False
    settled: bool = False
    goodbye: WorkerOffline | None = None
    exit_code: int | None = None
