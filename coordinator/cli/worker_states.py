"""`farmhand workers …`: what workers can be asked for, and their removal."""

import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from coordinator.cli.arguments import ReasonOption
from coordinator.cli.command import Session, command, fail
from coordinator.cli.output import say, show_json
from coordinator.cli.waiting import seconds

if TYPE_CHECKING:
    from schemas.views import WorkerDetail

WorkerArgument = Annotated[str, typer.Argument(metavar="WORKER", show_default=False)]
WorkersArgument = Annotated[list[str], typer.Argument(metavar="WORKER...", show_default=False)]
NowOption = Annotated[bool, typer.Option("--now", help="At once: hand back what it runs, instead of finishing it.")]
WithinOption = Annotated[
    str | None, typer.Option("--within", metavar="TIME", help="Finish what it runs, for so long (30m); then at once.")
]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait until it is so.")]

#: The duty that a worker has when it did what it was asked.
DUTIES: Final = {
    "awake": "awake",
    "asleep": "asleep",
    "drain": "draining",
    "testing": "testing",
    "error": "error",
    "quarantined": "quarantined",
}
_EVERY_S: Final = 0.2


def add(workers: typer.Typer) -> None:
    """Add the commands to the group *workers*."""
    for name, function in (
        ("drain", drain),
        ("wake", wake),
        ("sleep", sleep),
        ("test", try_out),
        ("error", error),
        ("quarantine", quarantine),
        ("release", release),
        ("restart", restart),
        ("stop", stop),
        ("remove", remove),
    ):
        command(workers, name)(function)
    command(workers, "offline", hidden=True)(stop)


# --- asking ------------------------------------------------------------------------------------------------


def _ask(  # noqa: PLR0913 - each part by its name
    session: Session,
    workers: list[str],
    state: str,
    *,
    now: bool = False,
    within: str | None = None,
    reason: str | None = None,
    wait: bool = False,
    only_from: str | None = None,
) -> None:
    if now and within:
        fail("--now and --within do not go together")
    names, farm, within_s = list(dict.fromkeys(workers)), session.farm, seconds(within)
    before = {worker: farm.worker(worker).epoch for worker in names} if wait else {}
    for worker in names:
        done = farm.request_worker_state(
            worker, state, lazy=not now, reason=reason, within_s=within_s, only_from=only_from
        )
        if session.json:
            show_json({"what": f"worker {worker}", **done.model_dump()})
        elif not done.count:
            say(f"worker {worker}: {state} already")
        else:
            say(f"worker {worker}: asked for {state}" + (" at once" if now else f" within {within}" if within else ""))
    for worker in names if wait else ():
        while not _is_so(farm.worker(worker), state, before[worker]):
            time.sleep(_EVERY_S)
        if not session.json:
            say(f"worker {worker}: {DUTIES.get(state, 'started anew' if state == 'restart' else state)}")


def _is_so(worker: "WorkerDetail", state: str, epoch: int) -> bool:
    """Whether *worker* has what was asked of it: as it says itself, and with nothing left that it runs."""
    if state == "offline":
        return worker.connection.value in ("offline", "lost")
    if state == "restart":
        return worker.connection.value == "online" and worker.epoch > epoch
    rests = state not in ("awake", "testing")
    return worker.duty == DUTIES[state] and not (rests and worker.holds)


def drain(
    session: Session,
    workers: WorkersArgument,
    *,
    now: NowOption = False,
    within: WithinOption = None,
    wait: WaitOption = False,
    reason: ReasonOption = None,
) -> None:
    """Give workers no new tasks; they finish what they run.

    Examples:
      farmhand workers drain render-07 --reason "fan noise"
      farmhand workers drain render-07 --within 30m --wait
      farmhand workers drain render-07 --now
    """
    _ask(session, workers, "drain", now=now, within=within, wait=wait, reason=reason)


def wake(session: Session, workers: WorkersArgument, *, wait: WaitOption = False, reason: ReasonOption = None) -> None:
    """Let workers take tasks again, whatever kept them from it.

    Examples:
      farmhand workers wake render-07
    """
    _ask(session, workers, "awake", wait=wait, reason=reason)


def sleep(
    session: Session,
    workers: WorkersArgument,
    *,
    now: NowOption = False,
    within: WithinOption = None,
    wait: WaitOption = False,
    reason: ReasonOption = None,
) -> None:
    """Put workers to sleep: connected, without tasks. Their schedule goes on with its next change.

    Examples:
      farmhand workers sleep render-07 render-08
    """
    _ask(session, workers, "asleep", now=now, within=within, wait=wait, reason=reason)


def try_out(
    session: Session,
    workers: WorkersArgument,
    *,
    now: NowOption = False,
    wait: WaitOption = False,
    reason: ReasonOption = None,
) -> None:
    """Let workers take only tasks that name them by the label worker:NAME.

    Examples:
      farmhand workers test render-07 --reason "new driver"
      farmhand submit --label worker:render-07 --wait -- nvidia-smi
      farmhand workers wake render-07
    """
    _ask(session, workers, "testing", now=now, wait=wait, reason=reason)


def error(session: Session, workers: WorkersArgument, *, now: NowOption = False, reason: ReasonOption = None) -> None:
    """Say that workers are out of order: no tasks until they are woken.

    Examples:
      farmhand workers error render-07 --reason "disk replaced on Monday"
    """
    _ask(session, workers, "error", now=now, reason=reason)


def quarantine(
    session: Session, workers: WorkersArgument, *, now: NowOption = False, reason: ReasonOption = None
) -> None:
    """Give workers nothing more until somebody releases them, whatever they say of themselves.

    Examples:
      farmhand workers quarantine render-07 --reason "black frames"
      farmhand workers release render-07
    """
    _ask(session, workers, "quarantined", now=now, reason=reason)


def release(
    session: Session, workers: WorkersArgument, *, wait: WaitOption = False, reason: ReasonOption = None
) -> None:
    """End the quarantine of workers; those that are in none are refused.

    Examples:
      farmhand workers release render-07
    """
    _ask(session, workers, "awake", wait=wait, reason=reason, only_from="quarantined")


def restart(
    session: Session,
    workers: WorkersArgument,
    *,
    now: NowOption = False,
    within: WithinOption = None,
    wait: WaitOption = False,
    reason: ReasonOption = None,
) -> None:
    """Start the agents of workers anew, when what they run has ended. They come back to what they were asked for.

    Examples:
      farmhand workers restart render-07 --within 1h
    """
    _ask(session, workers, "restart", now=now, within=within, wait=wait, reason=reason)


def stop(
    session: Session,
    workers: WorkersArgument,
    *,
    now: NowOption = False,
    within: WithinOption = None,
    wait: WaitOption = False,
    reason: ReasonOption = None,
) -> None:
    """Stop the agents of workers, when what they run has ended.

    Examples:
      farmhand workers stop render-07 --reason "to the workshop"
    """
    _ask(session, workers, "offline", now=now, within=within, wait=wait, reason=reason)


def remove(session: Session, workers: WorkersArgument, reason: ReasonOption = None) -> None:
    """Forget workers that are gone. What they did stays in the history.

    Examples:
      farmhand workers remove render-07 --reason scrapped
    """
    for worker in dict.fromkeys(workers):
        done = session.farm.remove_worker(worker, reason=reason)
        if session.json:
            show_json({"what": f"worker {worker}", **done.model_dump()})
        else:
            say(f"worker {worker}: removed")
