"""From what a transaction decided to the commands that tell the workers. All of it can be told again from the rows."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from coordinator.domain import liveness
from coordinator.domain.asking import Source
from coordinator.domain.attempt import Attempt
from coordinator.domain.protocol import NATIVE, is_pushed
from coordinator.operations.judging import Silence
from coordinator.operations.ledger import Ledger
from coordinator.operations.store import Order, Transaction
from schemas.base import Message
from schemas.task import (
    AttemptRef,
    Revocation,
    Revoke,
)
from schemas.worker import RequestedState, RequestState, Reset, Welcome


@dataclass(frozen=True)
class Letter:
    """Commands for one worker, in the order in which it should hear them."""

    worker: str
    epoch: int
    commands: list[Message | bytes]
    protocol: str = NATIVE


async def compose(tx: Transaction, ledger: Ledger, patience: Silence) -> list[Letter]:
    """What to send once the transaction has committed: one letter a worker, so that a verdict and the next assignment
    travel together."""
    out = ledger.outgoing
    interval_s = liveness.heartbeat_interval_s(ledger.worker_count, patience.heartbeat_s)
    lease_s = liveness.lost_after_s(interval_s, patience.lost_after_s)
    out.forget(name for name in out.workers() if name in ledger.workers and not is_pushed(ledger.workers[name]))
    attempts = [attempt for assigned in out.assigned.values() for attempt in assigned]
    orders = dict(zip(map(id, attempts), await tx.orders(attempts), strict=True)) if attempts else {}
    letters = []
    for name in out.workers():
        worker = ledger.workers.get(name)
        commands: list[Message | bytes] = []
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
                    if_idle=worker.requested_source == Source.IDLE,
                    reason=worker.requested_reason,
                    actor=worker.requested_by,
                )
            )
        commands.extend(_verdicts(ledger, name))
        commands.extend(_assigns(out.assigned.get(name, []), orders, lease_s))
        commands.extend(_revokes(ledger, name))
        protocol = worker.protocol if worker else NATIVE
        letters.append(Letter(name, worker.epoch if worker else 0, commands, protocol))
    return letters


#: Lists are cut so that no single command comes near the size of a message: entries, and bytes.
_MANY: Final = 500
_BYTES: Final = 24 * 1024


def _verdicts(ledger: Ledger, worker: str) -> list[bytes]:
    told = [
        f'{{"task":{task},"attempt":{number},"verdict":"{verdict}"}}'
        for task, number, verdict in ledger.outgoing.verdicts.get(worker, ())
    ]
    return [
        f'{{"type":"verdict","verdicts":[{",".join(told[at : at + _MANY])}]}}'.encode()
        for at in range(0, len(told), _MANY)
    ]


def _revokes(ledger: Ledger, worker: str) -> list[Message]:
    told = ledger.outgoing.revocations.get(worker, [])
    stops = [Revocation(task=task, attempt=number, reason=reason) for task, number, reason in told]
    return [Revoke(attempts=stops[at : at + _MANY // 2]) for at in range(0, len(stops), _MANY // 2)]


def _assigns(attempts: Sequence[Attempt], orders: Mapping[int, Order], lease_s: float) -> Iterator[bytes]:
    """`Assign` commands, each of about `_BYTES` at most (one attempt alone may take more)."""
    part: list[str] = []
    size = 0
    for attempt in attempts:
        one = assigned(attempt, orders[id(attempt)], lease_s)
        if part and size + len(one) > _BYTES:
            yield _assign(part)
            part, size = [], 0
        part.append(one)
        size += len(one)
    if part:
        yield _assign(part)


def _assign(part: Sequence[str]) -> bytes:
    return f'{{"type":"assign","attempts":[{",".join(part)}]}}'.encode()


def assigned(attempt: Attempt, order: Order, lease_s: float) -> str:
    """`AssignedAttempt` as JSON. Written out by hand because it is the farm's hottest message: what all elements of an
    array share is encoded once; a test holds it against the model."""
    name = json.dumps(order.name)
    told = [{"name": one, "first": first, "attempts": numbers} for one, first, numbers in order.inputs]
    inputs = json.dumps(told) if told else "[]"
    return (
        f'{{"task":{attempt.task_id},"attempt":{attempt.attempt},"job":{order.job_id},"name":{name},{order.body},'
        f'"lease_s":{lease_s},"directory":"{attempt.task_id}/{attempt.attempt}","inputs":{inputs},'
        f'"day":"{attempt.assigned_at.date()}"}}'
    )
