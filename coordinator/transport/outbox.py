"""What waits to be published: commands gathered by worker, and single messages, as values.

Commands that gather for one worker under one epoch leave in one message (more when they exceed its size), each
encoded once. Memory is bounded: when it is full the oldest is dropped, because a command has a row and is sent again.
"""

import asyncio
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from schemas.base import Message
from schemas.envelope import VERSION, split
from schemas.topology import WORKER_QUEUE_PREFIX

LIMIT_BYTES: Final = 64 * 1024 * 1024
log = structlog.get_logger(__name__)


class UndeliveredError(ConnectionError):
    """The broker has not confirmed a message; it may have it all the same. The message says why, in one line."""


@dataclass(slots=True, eq=False)
class Parcel:
    """One message on its way. `worker` is set when it is for a worker's queue; `done` when somebody waits for it."""

    routing_key: str
    body: bytes
    exchange: str = ""
    worker: str | None = None
    persistent: bool = True
    correlation_id: str | None = None
    headers: Mapping[str, Any] | None = None
    done: "asyncio.Future[None] | None" = None

    def settle(self, problem: str | None = None) -> None:
        """Tell who waits: it is with the broker, or *problem*."""
        if self.done is None or self.done.done():
            return
        if problem is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(UndeliveredError(problem))

    @property
    def abandoned(self) -> bool:
        """Whether the one who waited has gone."""
        return self.done is not None and self.done.done()


@dataclass(slots=True)
class _Bundle:
    commands: list[bytes] = field(default_factory=list)
    size: int = 0


class Outbox:
    """Gathers, and gives out the oldest first. `dropped` counts what was given up: commands, and single messages."""

    def __init__(self, *, limit_bytes: int = LIMIT_BYTES) -> None:
        """An empty one that holds about *limit_bytes*."""
        self.dropped = 0
        self.size = 0
        self._limit = limit_bytes
        self._bundles: dict[tuple[str, int], _Bundle] = {}
        self._parcels: deque[Parcel] = deque()

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._parcels or self._bundles)

    def gather(self, worker: str, epoch: int, commands: Sequence[Message | bytes]) -> None:
        """Add *commands* (bytes: one that is JSON already) to what waits for *worker*."""
        if not commands:
            return
        bundle = self._bundles.get((worker, epoch))
        if bundle is None:
            bundle = self._bundles[worker, epoch] = _Bundle()
        for command in commands:
            encoded = command if isinstance(command, bytes) else command.model_dump_json().encode()
            bundle.commands.append(encoded)
            bundle.size += len(encoded)
            self.size += len(encoded)
        while self.size > self._limit and len(self._bundles) > 1:
            self.dropped += len(self._pop()[2].commands)

    def put(self, parcel: Parcel) -> None:
        """Add one message."""
        self._parcels.append(parcel)
        self.size += len(parcel.body)
        while self.size > self._limit and len(self._parcels) > 1:
            self._shift().settle("too much waits for the broker")
            self.dropped += 1

    def take(self) -> Parcel | None:
        """The next message to publish, single ones before commands."""
        while self._parcels or self._bundles:
            if not self._parcels:
                self._pack()
                continue
            parcel = self._shift()
            if not parcel.abandoned:
                return parcel
        return None

    def clear(self) -> None:
        """Give up all that waits."""
        while self._parcels:
            self._shift().settle("the coordinator is stopping")
            self.dropped += 1
        while self._bundles:
            self.dropped += len(self._pop()[2].commands)

    def _pop(self) -> tuple[str, int, _Bundle]:
        worker, epoch = key = next(iter(self._bundles))
        bundle = self._bundles.pop(key)
        self.size -= bundle.size
        return worker, epoch, bundle

    def _shift(self) -> Parcel:
        parcel = self._parcels.popleft()
        self.size -= len(parcel.body)
        return parcel

    def _pack(self) -> None:
        worker, epoch, bundle = self._pop()
        try:
            bodies = list(_envelopes(worker, epoch, bundle.commands))
        except ValueError as error:  # a command that fits no message: its maker should have refused it
            self.dropped += len(bundle.commands)
            log.warning("commands not sent", worker=worker, problem=str(error))
            return
        for body in bodies:
            self._parcels.append(Parcel(WORKER_QUEUE_PREFIX + worker, body, worker=worker))
            self.size += len(body)


def _envelopes(worker: str, epoch: int, commands: Sequence[bytes]) -> Iterator[bytes]:
    """`ToWorker` messages with *commands*, put together from what is already encoded."""
    head = f'{{"v":{VERSION},"worker":{json.dumps(worker)},"epoch":{epoch},"commands":['.encode()
    for part in split((command, len(command)) for command in commands):
        yield head + b",".join(part) + b"]}"
