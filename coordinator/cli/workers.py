"""`farmhand workers`: list, show, label; what they can be asked for is in `worker_states`."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from coordinator.cli import worker_rules, worker_states
from coordinator.cli.command import Session, command, fail, group
from coordinator.cli.output import Column, ago, say, show_facts, show_json, show_table, size, span, write
from coordinator.cli.paging import LimitOption, show_pages
from coordinator.cli.tasks import percent

if TYPE_CHECKING:
    from schemas.views import WorkerDetail, WorkerView

Connection = Literal["online", "suspect", "lost", "offline"]
ConnectionOption = Annotated[Connection | None, typer.Option("--connection", help="Only those that are this.")]
QueueOption = Annotated[str | None, typer.Option("--queue", metavar="QUEUE", help="Only those that serve this queue.")]
WorkerArgument = Annotated[str, typer.Argument(metavar="WORKER", show_default=False)]


def duty(worker: "WorkerView") -> str:
    """What it is willing to do, and what it is asked for and has not done yet."""
    if worker.asked is None or worker_states.DUTIES.get(worker.asked.state.value) == worker.duty:
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
    Column("PROTOCOL", lambda worker: worker.protocol),
    Column("SOFTWARE", lambda worker: worker.software or "-"),
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
    workers = group(
        app, "workers", "Workers: list, show, put to sleep, drain, test, restart, stop, quarantine, label, remove."
    )
    command(workers, invoke_without_command=True)(list_)
    command(workers, "list")(list_)
    command(workers, "show")(show)
    worker_states.add(workers)
    worker_rules.add(workers)
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
            ("rests", worker.rests),
            ("sleep", worker_rules.schedule_words(worker.sleep)),
            ("idle", worker_rules.idle_words(worker.idle)),
            ("note", worker.reason),
            ("last seen", worker.last_seen_at),
            ("queues", worker.queues),
            ("kinds", worker.kinds),
            ("runners", worker.runners),
            ("supervises", worker.supervises),
            ("secrets", worker.secrets),
            ("enforces", worker.enforces),
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
            ("protocol", f"{worker.protocol}, as {worker.foreign_id}" if worker.foreign_id else worker.protocol),
        ]
    )


def _health(worker: "WorkerDetail") -> str | None:
    jobs = f"{worker.failing_jobs} job{'' if worker.failing_jobs == 1 else 's'}"
    return f"{worker.health:.2f}: failed in {jobs} what nobody else failed" if worker.failing_jobs else None


def _of(stats: dict[str, int], what: str) -> str | None:
    total = stats.get(f"{what}_total")
    return f"{size(stats.get(f'{what}_used', 0))} of {size(total)}" if total else None


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
