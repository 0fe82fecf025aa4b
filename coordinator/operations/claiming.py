"""Workers behind gateways ask for work: what they hold they get again, and something new in the same transaction.

Nothing is sent to them. Who asks is put among those who may be assigned something, and when the transaction has
assigned, `hand_out` fills in the answer.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from coordinator.domain.attempt import Attempt, AttemptState
from coordinator.domain.clones import Arrival
from coordinator.domain.protocol import Work, is_pushed, protocol_of
from coordinator.domain.worker import Connection, Worker, takes_work
from coordinator.operations import foreign, reports, states, tasks
from coordinator.operations.ledger import Ledger
from coordinator.operations.requests import ConflictError, Request
from coordinator.operations.signs import Handed
from coordinator.operations.store import Order, Transaction


@dataclass(frozen=True)
class Claimed:
    """What a worker that asked for work is answered: `handed` is what it is to run, nothing when there is nothing."""

    standing: foreign.Standing
    handed: list[Handed]


@dataclass(frozen=True)
class Claim(Request[Claimed]):
    """The worker asks for work, and so holds nothing but what it has been given and not finished: that it gets again.

    Who is silent for so long that he was given up comes back by asking; who said goodbye has to arrive first.
    """

    worker: str
    sign: foreign.Sign = foreign.LIVES
    #: From these queues; None: from all that it serves.
    queues: tuple[str, ...] | None = None
    #: Of what it holds it gets again only what it has not said that it began: the rest it has lost track of.
    once: bool = False


def claim(ledger: Ledger, request: Claim) -> Claimed:
    """Make it ready to be given something; `hand_out` fills in the answer when the transaction has assigned."""
    worker = states.find(ledger, request.worker)
    if protocol_of(worker).work is not Work.PULLED:
        raise ConflictError(f"worker {worker.id} has its work from elsewhere, or is sent it")
    if worker.connection is Connection.OFFLINE:
        return Claimed(foreign.standing(ledger, worker), [])
    foreign.come_back(ledger, worker)
    foreign.note(ledger, worker, request.sign)
    now = foreign.standing(ledger, worker)
    for attempt in list(ledger.held[worker.id].values()):
        if attempt.state is AttemptState.STOPPING:
            tasks.lose(ledger, attempt, "the worker asks for other work")
        elif is_of_former_life(worker, attempt):
            tasks.lose(ledger, attempt, "the worker began anew, and asks for work")
        elif request.once and attempt.activity is not None:
            tasks.lose(ledger, attempt, "the worker asks for work, and has not said how this ended")
    if not takes_work(worker):
        return Claimed(now, [])
    ledger.capacity_at.add(worker.id)
    if request.queues is not None:
        ledger.foreign.only_from[worker.id] = list(request.queues)
    return Claimed(now, ledger.foreign.asking.setdefault(worker.id, []))


def is_of_former_life(worker: Worker, attempt: Attempt) -> bool:
    """Whether *attempt* was given to the worker before it last came, and kept for a report that may still come."""
    return bool(worker.arrivals) and attempt.assigned_at < Arrival.read(worker.arrivals[-1]).at


def gets_now(ledger: Ledger, worker: Worker) -> bool:
    """Whether *worker* may be assigned something in this transaction: who asks for work gets it only as an answer."""
    return is_pushed(worker) or (worker.id in ledger.foreign.asking and not ledger.held.get(worker.id))


def as_asked(ledger: Ledger, worker: Worker) -> Worker:
    """*worker*, with the queues only from which it asks."""
    only = ledger.foreign.only_from.get(worker.id)
    return worker if only is None else replace(worker, queues=only)


async def hand_out(tx: Transaction, ledger: Ledger) -> None:
    """Answer those who asked: with what they hold, which runs from now on."""
    asked = ledger.foreign.asking
    had = {name: [one for one in ledger.held[name].values() if one.live] for name in asked}
    attempts = [attempt for some in had.values() for attempt in some]
    orders = await tx.orders(attempts) if attempts else []
    for attempt, order in zip(attempts, orders, strict=True):
        again = attempt.state is AttemptState.RUNNING
        reports.begin(ledger, attempt)
        asked[attempt.worker_id].append(_handed(ledger, attempt, order, again=again))


def _counted(ledger: Ledger, attempt: Attempt, spec: Mapping[str, Any]) -> None:
    """How many steps the attempt has, from the moment on that it is told: its worker says only how many are done."""
    if attempt.total is None:
        attempt.done, attempt.total = 0, sum(int(command.get("steps", 1)) for command in spec["commands"])
        ledger.dirty_attempts.add((attempt.task_id, attempt.attempt))


def _handed(ledger: Ledger, attempt: Attempt, order: Order, *, again: bool) -> Handed:
    task, job = ledger.tasks[attempt.task_id], ledger.jobs[order.job_id]
    spec = json.loads(f"{{{order.body}}}")
    _counted(ledger, attempt, spec)
    return Handed(
        task=attempt.task_id,
        attempt=attempt.attempt,
        run=attempt.run,
        job=order.job_id,
        job_priority=job.priority,
        name=order.name,
        priority=task.priority,
        spec=spec,
        inputs=tuple((name, first, tuple(numbers)) for name, first, numbers in order.inputs),
        done=attempt.done,
        total=attempt.total,
        again=again,
    )
