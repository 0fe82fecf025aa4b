"""From what a transaction decided to the commands that tell the workers. All of it can be told again from the rows."""

from collections.abc import Mapping
from dataclasses import dataclass

from coordinator.domain import liveness
from coordinator.domain.attempt import Attempt
from coordinator.operations.ledger import Ledger
from coordinator.operations.store import Order, Transaction
from coordinator.operations.workers import Silence
from schemas.base import Message
from schemas.task import (
    Assign,
    AssignedAttempt,
    AttemptRef,
    Input,
    Judged,
    Revocation,
    Revoke,
    Verdicts,
)
from schemas.worker import RequestedState, RequestState, Reset, Welcome


@dataclass(frozen=True)
class Letter:
    """Commands for one worker, in the order in which it should hear them."""

    worker: str
    epoch: int
    commands: list[Message]


async def compose(tx: Transaction, ledger: Ledger, patience: Silence) -> list[Letter]:
    """What to send once the transaction has committed: one letter a worker, so that a verdict and the next assignment
    travel together."""
    out = ledger.outgoing
    interval_s = liveness.heartbeat_interval_s(ledger.worker_count, patience.heartbeat_s)
    lease_s = liveness.lost_after_s(interval_s, patience.lost_after_s)
    attempts = [attempt for assigned in out.assigned.values() for attempt in assigned]
    orders = dict(zip(map(id, attempts), await tx.orders(attempts), strict=True)) if attempts else {}
    letters = []
    for name in out.workers():
        worker = ledger.workers.get(name)
        commands: list[Message] = []
        if name in out.resets:
            commands.append(Reset(reason=out.resets[name]))
        if name in out.welcomes and worker is not None:
            keep = [AttemptRef.model_construct(task=task, attempt=number) for task, number in out.welcomes[name]]
            commands.append(
                Welcome(
                    epoch=worker.epoch,
                    heartbeat_s=interval_s,
                    lease_s=lease_s,
                    server_time=ledger.now,
                    keep=keep,
                )
            )
        if name in out.requests and worker is not None and worker.requested_state is not None:
            commands.append(
                RequestState(
                    state=RequestedState(worker.requested_state),
                    lazy=worker.requested_lazy,
                    reason=worker.requested_reason,
                    actor=worker.requested_by,
                )
            )
        commands.extend(_verdicts(ledger, name))
        commands.extend(_assigns(out.assigned.get(name, []), orders, lease_s))
        commands.extend(_revokes(ledger, name))
        letters.append(Letter(name, worker.epoch if worker else 0, commands))
    return letters


#: Lists are cut so that no single command comes near the size of a message.
_MANY = 500


def _verdicts(ledger: Ledger, worker: str) -> list[Message]:
    told = ledger.outgoing.verdicts.get(worker, [])
    judged = [Judged.model_construct(task=task, attempt=number, verdict=verdict) for task, number, verdict in told]
    return [Verdicts(verdicts=judged[at : at + _MANY]) for at in range(0, len(judged), _MANY)]


def _revokes(ledger: Ledger, worker: str) -> list[Message]:
    told = ledger.outgoing.revocations.get(worker, [])
    stops = [Revocation(task=task, attempt=number, reason=reason) for task, number, reason in told]
    return [Revoke(attempts=stops[at : at + _MANY // 2]) for at in range(0, len(stops), _MANY // 2)]


def _assigns(attempts: list[Attempt], orders: Mapping[int, Order], lease_s: float) -> list[Message]:
    """One command an attempt group; the courier packs them into messages that fit."""
    return [Assign(attempts=[_assigned(attempt, orders[id(attempt)], lease_s)]) for attempt in attempts]


def _assigned(attempt: Attempt, order: Order, lease_s: float) -> AssignedAttempt:
    """The attempt as its worker is told. The parts were checked when the job was submitted."""
    body = order.body
    return AssignedAttempt.model_construct(
        task=attempt.task_id,
        attempt=attempt.attempt,
        job=order.job_id,
        name=order.name,
        kind=body.kind,
        commands=body.commands,
        environment=body.environment,
        resources=body.resources,
        lease_s=lease_s,
        directory=f"{attempt.task_id}/{attempt.attempt}",
        inputs=[
            Input.model_construct(name=name, first=first, attempts=numbers) for name, first, numbers in order.inputs
        ],
        promote=body.promote,
        upload=body.upload,
        day=attempt.assigned_at.date(),
    )
