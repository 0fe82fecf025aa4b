"""Who sent a message: what the broker vouches for, against what the message says."""

from collections.abc import Callable
from dataclasses import dataclass

from coordinator.operations.ports import Delivery
from schemas.base import UndecodableError
from schemas.catalog import refuse_misplaced
from schemas.envelope import FromWorker, decode_from_worker
from schemas.topology import sender_of


@dataclass(frozen=True)
class Identities:
    """`shared_user`: who must have sent every message. None: `w-<worker>` must, or the submitter under its own name.

    `left_out` hears how many events of a message are of a type that this release does not know.
    """

    shared_user: str | None
    left_out: Callable[[int], object] = lambda _count: None

    def read(self, delivery: Delivery) -> FromWorker:
        """What a worker said, if it may say that by this queue. Raises `UndecodableError`."""
        message, unknown = decode_from_worker(delivery.body)
        self.check(delivery, message.worker, worker=True)
        refuse_misplaced(delivery.queue, message)
        if unknown:
            self.left_out(unknown)
        return message

    def check(self, delivery: Delivery, sender: str, *, worker: bool) -> None:
        """Raise `UndecodableError("forbidden", …)` unless *sender* may have sent *delivery*."""
        said = sender_of(delivery.routing_key)
        if said != sender:
            raise UndecodableError(
                "forbidden", "worker" if worker else "submitter", f"is {sender!r}, but it was sent under {said!r}"
            )
        expected = self.shared_user or (f"w-{sender}" if worker else sender)
        if delivery.user_id != expected:
            came = f"from broker user {delivery.user_id!r}" if delivery.user_id else "without a user_id"
            raise UndecodableError("forbidden", "user_id", f"it came {came}, not from {expected!r}")
