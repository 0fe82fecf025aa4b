"""`farmhand workers`: list, show, ask for another state, label."""

from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from coordinator.cli.command import Session, command, fail, group
from coordinator.cli.jobs import ReasonOption
from coordinator.cli.output import Column, ago, say, show_facts, show_json, show_table, size, span, write
from coordinator.cli.paging import LimitOption, show_pages
from coordinator.cli.tasks import percent

if TYPE_CHECKING:
    from schemas.views import WorkerDetail, WorkerView

Connection = Literal["online", "suspect", "lost", "offline"]
ConnectionOption = Annotated[Connection | None, typer.Option("--connection", help="Only those that are this.")]
QueueOption = Annotated[str | None, typer.Option("--queue", metavar="QUEUE", help="Only those that serve this queue.")]
WorkerArgument = Annotated[str, typer.Argument(metavar="WORKER", show_default=False)]
WorkersArgument = Annotated[list[str], typer.Argument(metavar="WORKER...", show_default=False)]
NowOption = Annotated[bool, typer.Option("--now", help="At once: hand back what it runs, instead of finishing it.")]


#: The duty that a worker has when it did what it was asked.
_DONE: Final = {"awake": "awake", "asleep": "asleep", "drain": "draining"}


def duty(worker: "WorkerView") -> str:
    """What it is willing to do, and what it is asked for and has not done yet."""
    if worker.asked is None or _DONE.get(worker.asked.state.value) == worker.duty:
        return worker.duty
    return f"{worker.duty} -> {worker.asked.state.value}"


COLUMNS = [
    Column("WORKER", lambda worker: worker.id, keep=True),
    Column("CONNECTION", lambda worker: worker.connection.value, keep=True),
    Column("DUTY", duty),
    Column("SLOTS", lambda worker: f"{worker.used.slots}/{worker.capacity.slots}", right=True),
    Column("CPU", lambda worker: whole(worker.cpu_percent), right=True),
    Column("MEM", lambda worker: whole(worker.memory_percent), right=True),
    Column("SEEN", lambda worker: worker.last_seen_at),
    Column("QUEUES", lambda worker: worker.queues),
    Column("KINDS", lambda worker: worker.kinds),
    Column("LABELS", lambda worker: worker.labels or "-"),
    Column("NOTE", lambda worker: worker.reason),
]
_HELD = [
    Column("TASK", lambda held: held.task, keep=True, right=True),
    Column("ATTEMPT", lambda held: held.attempt, right=True),
    Column("STATE", lambda held: held.state),
    Column("DONE", lambda held: percent(held.done, held.total), right=True),
    Column("RUNS", lambda held: span(held.started_at, None)),
    Column("NAME", lambda held: held.name),
    Column("ACTIVITY", lambda held: held.activity),
]


def add(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    workers = group(app, "workers", "Workers: list, show, drain, wake, sleep, restart, offline, label.")
    command(workers, invoke_without_command=True)(list_)
    command(workers, "list")(list_)
    command(workers, "show")(show)
    command(workers, "drain")(drain)
    command(workers, "wake")(wake)
    command(workers, "sleep")(sleep)
    command(workers, "restart")(restart)
    command(workers, "offline")(offline)
    command(workers, "label")(label)


def whole(percentage: float | None) -> str:
    """A percentage without its fraction."""
    return "-" if percentage is None else f"{percentage:.0f}%"


def list_(
    session: Session, connection: ConnectionOption = None, queue: QueueOption = None, limit: LimitOption = 200
) -> None:
    """List workers, by name.

    Examples:
      farmhand workers
      farmhand workers --connection lost
      farmhand workers show render-07
      farmhand workers drain render-07 --reason "fan noise"
    """
    show_pages(
        session,
        lambda cursor, size: session.farm.workers(connection=connection, queue=queue, after=cursor or "", limit=size),
        limit,
        COLUMNS,
        empty="no such workers; start one with: farmhand agent",
    )


def show(session: Session, worker: WorkerArgument) -> None:
    """Show one worker: its machine, what it can take, what it runs.

    Examples:
      farmhand workers show render-07
    """
    found = session.farm.worker(worker)
    if session.json:
        show_json(found)
        return
    _facts(found)
    if found.held:
        write()
        show_table(_HELD, found.held, empty="")


def _facts(worker: "WorkerDetail") -> None:
    stats = worker.stats or {}
    asked = worker.asked
    show_facts(
        [
            ("worker", worker.id),
            ("connection", f"{worker.connection.value}, epoch {worker.epoch} began {ago(worker.online_at)}"),
            ("duty", worker.duty),
            ("asked", f"{asked.state.value} by {asked.by or '?'}: {asked.reason or 'no reason'}" if asked else None),
            ("note", worker.reason),
            ("last seen", worker.last_seen_at),
            ("queues", worker.queues),
            ("kinds", worker.kinds),
            ("tags", worker.tags),
            ("labels", worker.labels),
            ("zone", worker.zone),
            ("slots", f"{worker.used.slots} of {worker.capacity.slots} used"),
            ("cpus", f"{worker.used.cpus:g} of {worker.capacity.cpus:g} used" if worker.capacity.cpus else None),
            (
                "memory",
                f"{worker.used.memory_mb} of {worker.capacity.memory_mb} MiB used"
                if worker.capacity.memory_mb
                else None,
            ),
            ("gpus", f"{worker.used.gpus} of {worker.capacity.gpus} used" if worker.capacity.gpus else None),
            ("health", _health(worker)),
            ("machine", " ".join(str(worker.platform.get(key, "")) for key in ("hostname", "os", "arch"))),
            ("cpu", whole(stats.get("cpu_percent"))),
            ("load", " ".join(f"{load:.2f}" for load in stats.get("load", []))),
            ("ram", _of(stats, "memory")),
            ("disk", _of(stats, "disk")),
            ("software", worker.software),
        ]
    )


def _health(worker: "WorkerDetail") -> str | None:
    jobs = f"{worker.failing_jobs} job{'' if worker.failing_jobs == 1 else 's'}"
    return f"{worker.health:.2f}: failed in {jobs} what nobody else failed" if worker.failing_jobs else None


def _of(stats: dict[str, int], what: str) -> str | None:
    total = stats.get(f"{what}_total")
    return f"{size(stats.get(f'{what}_used', 0))} of {size(total)}" if total else None


def _ask(session: Session, workers: list[str], state: str, *, now: bool, reason: str | None) -> None:
    for worker in dict.fromkeys(workers):
        done = session.farm.request_worker_state(worker, state, lazy=not now, reason=reason)
        if session.json:
            show_json({"what": f"worker {worker}", **done.model_dump()})
        else:
            say(
                f"worker {worker}: asked for {state}" + (" at once" if now else "")
                if done.count
                else f"worker {worker}: {state} already"
            )


def drain(session: Session, workers: WorkersArgument, *, now: NowOption = False, reason: ReasonOption = None) -> None:
    """Give workers no new tasks; they finish what they run.

    Examples:
      farmhand workers drain render-07 --reason "fan noise"
      farmhand workers drain render-07 --now
    """
    _ask(session, workers, "drain", now=now, reason=reason)


def wake(session: Session, workers: WorkersArgument, reason: ReasonOption = None) -> None:
    """Let workers take tasks again.

    Examples:
      farmhand workers wake render-07
    """
    _ask(session, workers, "awake", now=False, reason=reason)


def sleep(session: Session, workers: WorkersArgument, *, now: NowOption = False, reason: ReasonOption = None) -> None:
    """Put workers to sleep: connected, without tasks.

    Examples:
      farmhand workers sleep render-07 render-08
    """
    _ask(session, workers, "asleep", now=now, reason=reason)


def restart(session: Session, workers: WorkersArgument, *, now: NowOption = False, reason: ReasonOption = None) -> None:
    """Start the agents of workers anew, when what they run has ended.

    Examples:
      farmhand workers restart render-07
    """
    _ask(session, workers, "restart", now=now, reason=reason)


def offline(session: Session, workers: WorkersArgument, *, now: NowOption = False, reason: ReasonOption = None) -> None:
    """Stop the agents of workers, when what they run has ended.

    Examples:
      farmhand workers offline render-07 --reason "to the workshop"
    """
    _ask(session, workers, "offline", now=now, reason=reason)


def label(
    session: Session,
    worker: WorkerArgument,
    labels: Annotated[list[str] | None, typer.Argument(metavar="[LABEL...]", show_default=False)] = None,
    *,
    clear: Annotated[bool, typer.Option("--clear", help="Approve none.")] = False,
) -> None:
    """Approve exactly these labels for a worker.

    Examples:
      farmhand workers label render-07 a100 licensed-nuke
      farmhand workers label render-07 --clear
    """
    if bool(labels) == clear:
        fail("give the labels that are approved, or --clear for none")
    session.farm.label_worker(worker, labels or [])
    if session.json:
        show_json({"what": f"worker {worker}", "labels": labels or []})
    else:
        say(f"worker {worker}: " + (f"approved {', '.join(labels)}" if labels else "no labels are approved"))
