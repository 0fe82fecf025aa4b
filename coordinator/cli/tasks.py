"""`farmhand tasks`: list, show, cancel, requeue, pause, resume."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from coordinator.cli.arguments import ReasonOption
from coordinator.cli.command import Session, command, fail, group, ids
from coordinator.cli.jobs import changed
from coordinator.cli.output import Column, duration, show_facts, show_json, show_table, size, span, write
from coordinator.cli.paging import LimitOption, show_pages

if TYPE_CHECKING:
    from schemas.views import TaskDetail, TaskView

State = Literal["blocked", "scheduled", "paused", "ready", "assigned", "running", "completed", "failed", "canceled"]
JobOption = Annotated[int | None, typer.Option("--job", metavar="JOB", min=1, help="The job whose tasks.")]
StateOption = Annotated[State | None, typer.Option("--state", help="Only tasks in this state.")]
TaskArgument = Annotated[int, typer.Argument(metavar="TASK", min=1, show_default=False)]
TasksArgument = Annotated[
    list[str], typer.Argument(metavar="TASK...", help="Numbers of tasks; - reads them from stdin.")
]


def said(task: "TaskView") -> str | None:
    """What there is to say of it: its error while it matters, else why it is so, else what it does."""
    error = task.error if task.state.value in ("failed", "scheduled") else None
    return error or task.reason or task.activity


COLUMNS = [
    Column("TASK", lambda task: task.id, keep=True, right=True),
    Column("STATE", lambda task: task.state.value, keep=True),
    Column("DONE", lambda task: percent(task.done, task.total), right=True),
    Column("ATTEMPT", lambda task: task.attempt or "-", right=True),
    Column("WORKER", lambda task: task.worker),
    Column("NAME", lambda task: task.name),
    Column("CHANGED", lambda task: task.changed_at),
    Column("NOTE", said),
]
_ATTEMPTS = [
    Column("ATTEMPT", lambda attempt: attempt.attempt, keep=True, right=True),
    Column("WORKER", lambda attempt: attempt.worker, keep=True),
    Column("STATE", lambda attempt: attempt.ending or attempt.state),
    Column("VERDICT", lambda attempt: "accepted" if attempt.accepted else "-"),
    Column("EXIT", lambda attempt: attempt.exit_code, right=True),
    Column("ASSIGNED", lambda attempt: attempt.assigned_at),
    Column("RAN", lambda attempt: span(attempt.started_at, attempt.ended_at)),
    Column("ERROR", lambda attempt: attempt.error),
]
_OUTPUTS = [
    Column("ATTEMPT", lambda output: output.attempt, right=True),
    Column("OUTPUT", lambda output: output.name, keep=True),
    Column("SIZE", lambda output: size(output.size), right=True),
    Column("TYPE", lambda output: output.media_type),
    Column("WHERE", lambda output: "coordinator" if output.stored else output.location or "attempt's directory"),
]


def add(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    tasks = group(app, "tasks", "Tasks: list, show, cancel, requeue, pause, resume.")
    command(tasks, invoke_without_command=True)(list_)
    command(tasks, "list")(list_)
    command(tasks, "show")(show)
    command(tasks, "cancel")(cancel)
    command(tasks, "requeue")(requeue)
    command(tasks, "pause")(pause)
    command(tasks, "resume")(resume)


def percent(done: int | None, total: int | None) -> str:
    """How far, in percent."""
    return f"{100 * min(done, total) // total}%" if done is not None and total else "-"


def list_(session: Session, job: JobOption = None, state: StateOption = None, limit: LimitOption = 100) -> None:
    """List the tasks of a job, in their order.

    Examples:
      farmhand tasks --job 12
      farmhand tasks --job 12 --state failed
      farmhand tasks show 345
    """
    if job is None:
        fail("say of which job: farmhand tasks --job JOB (farmhand jobs lists them)")
    show_pages(
        session,
        lambda cursor, size: session.farm.tasks(job, state=state, after=cursor or 0, limit=size),
        limit,
        COLUMNS,
        empty=f"job {job} has no such tasks",
    )


def show(session: Session, task: TaskArgument) -> None:
    """Show one task: why it waits, its attempts, its outputs.

    Examples:
      farmhand tasks show 345
      farmhand tasks show 345 --json
    """
    found = session.farm.task(task)
    if session.json:
        show_json(found)
        return
    _facts(found)
    if found.attempts:
        write()
        show_table(_ATTEMPTS, found.attempts, empty="")
    if found.outputs:
        write()
        show_table(_OUTPUTS, found.outputs, empty="")


def _facts(task: "TaskDetail") -> None:
    commands = [str(command.get("name", "?")) for command in task.spec.get("commands", [])]
    show_facts(
        [
            ("task", f"{task.id}  {task.name}"),
            ("job", task.job),
            ("state", task.state.value),
            ("waits", task.waiting.sentence if task.waiting else None),
            ("note", task.reason),
            ("progress", percent(task.done, task.total)),
            ("activity", task.activity),
            ("worker", task.worker),
            ("kind", task.kind),
            ("queue", task.queue),
            ("priority", task.priority),
            ("commands", commands),
            ("run", task.run if task.run > 1 else None),
            ("failures", task.failures or None),
            ("lost", task.losses or None),
            ("failed on", task.failed_on),
            ("not before", task.not_before),
            ("deadline", task.deadline),
            ("may run", duration(task.max_run_s) if task.max_run_s else None),
            ("may be silent", duration(task.no_progress_s) if task.no_progress_s else None),
            ("changed", task.changed_at),
            ("computed", duration(sum(attempt.run_s or 0 for attempt in task.attempts)) if task.attempts else None),
        ]
    )


def cancel(session: Session, tasks: TasksArgument, reason: ReasonOption = None) -> None:
    """Cancel tasks that are not finished.

    Examples:
      farmhand tasks cancel 345
      farmhand tasks cancel 345 346 --reason "not needed"
    """
    for task in ids(tasks, "task"):
        changed(session, f"task {task}", session.farm.cancel_task(task, reason=reason), "task", "canceled")


def requeue(session: Session, tasks: TasksArgument, reason: ReasonOption = None) -> None:
    """Run finished tasks again.

    Examples:
      farmhand tasks requeue 345
      farmhand tasks --job 12 --state failed --json | jq .items[].id | farmhand tasks requeue -
    """
    for task in ids(tasks, "task"):
        changed(session, f"task {task}", session.farm.requeue_task(task, reason=reason), "task", "requeued")


def pause(session: Session, tasks: TasksArgument, reason: ReasonOption = None) -> None:
    """Hold tasks back that no worker has yet.

    Examples:
      farmhand tasks pause 345 --reason "wait for the new texture"
      farmhand tasks resume 345
    """
    for task in ids(tasks, "task"):
        changed(session, f"task {task}", session.farm.pause_task(task, reason=reason), "task", "paused")


def resume(session: Session, tasks: TasksArgument, reason: ReasonOption = None) -> None:
    """Hold paused tasks back no longer.

    Examples:
      farmhand tasks resume 345
    """
    for task in ids(tasks, "task"):
        changed(session, f"task {task}", session.farm.resume_task(task, reason=reason), "task", "resumed")
