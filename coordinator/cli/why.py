"""`farmhand why`: what stands in a task's way, who is near, and what can be done about it."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from coordinator.cli.command import Session, command, fail, ids
from coordinator.cli.output import clean, plural, show_json, write

if TYPE_CHECKING:
    from schemas.views import ReasonView, TaskWhy

#: These do not wait.
_AT_EASE: Final = frozenset({"turn", "running", "done"})


def add(app: typer.Typer) -> None:
    """Add the command to *app*."""
    command(app, "why")(why)


def why(
    session: Session,
    what: Annotated[str, typer.Argument(metavar="TASK|job", show_default=False)],
    name: Annotated[str | None, typer.Argument(metavar="[JOB]", show_default=False)] = None,
) -> None:
    """Tell why a task, or the tasks of a job, do not run: every reason, what to do, and who can.

    The answer comes from the rules that assign tasks, for the farm as it is now.

    Examples:
      farmhand why 345
      farmhand why job 12
      farmhand why 345 --json | jq .nearest
    """
    if name is not None and what not in ("task", "job"):
        fail(f"why {what} {name}: write `farmhand why TASK` or `farmhand why job JOB`")
    (number,) = ids([name or what], what if name else "task")
    if what == "job":
        job = session.farm.why_job(number)
        if session.json:
            show_json(job)
            return
        write(clean(f"job {job.job} {job.name}: {job.state}"))
        if not job.parts:
            write("no task of it waits or runs")
        for part in job.parts:
            write()
            _tell(part)
        return
    task = session.farm.why_task(number)
    if session.json:
        show_json(task)
    else:
        _tell(task)


def _tell(why: "TaskWhy") -> None:
    like = f" and {plural(why.tasks - 1, 'task')} like it" if why.tasks > 1 else ""
    write(clean(f"task {why.task} {why.name}: {why.state.value}{like}"))
    for reason in why.reasons:
        write(clean(f"  {_mark(reason)} {reason.sentence}"))
        if reason.remedy:
            write(clean(f"      {reason.remedy}   ({reason.who})"))
    if why.funnel:
        steps = ", ".join(f"{step.workers} {step.words}" for step in why.funnel)
        write(clean(f"  {plural(why.workers, 'worker')}: {steps}"))
    if why.nearest and not why.able:
        near = "; ".join(f"{one.worker} {' and '.join(one.lacks)}" for one in why.nearest)
        write(clean(f"  nearest: {near}"))


def _mark(reason: "ReasonView") -> str:
    """Colour is not needed to tell what must be mended from what will pass."""
    if reason.kind.value in _AT_EASE:
        return "="
    return "!" if reason.kind.value in ("never", "delivery") else "-"
