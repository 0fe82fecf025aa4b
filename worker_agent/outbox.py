"""Events on their way out: they gather while a publish is under way, and travel together.

An event has a key, so that a newer one of the same kind replaces the one that still waits: a report sent again does not
travel twice in one envelope, and `task.started` does not travel at all when the task has ended by then. Events are kept
as JSON from the moment they are made; an envelope is put together from those bytes.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from schemas.envelope import VERSION, split

#: (kind, task, attempt); the last two are 0 for what concerns the worker.
Key = tuple[str, int, int]

STARTED: Final = "started"
PROGRESS: Final = "progress"
FINISHED: Final = "finished"
PROMOTED: Final = "promoted"
OUTPUT: Final = "output"
SPAWN: Final = "spawn"
ONLINE: Final = "online"
STATE: Final = "state"
OFFLINE: Final = "offline"


class Outbox:
    """What waits to be published, oldest first."""

    def __init__(self) -> None:
        self._waiting: dict[Key, bytes] = {}
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()

    def put(self, key: Key, event: bytes) -> None:
        """Let *event* wait to be taken."""
        if key[0] == FINISHED:
            self._waiting.pop((STARTED, key[1], key[2]), None)
        self._waiting.pop(key, None)
        self._waiting[key] = event
        self._filled.set()
        self._emptied.clear()

    async def take(self) -> dict[Key, bytes]:
        """All that waits, as soon as something does. Say `done` or `put_back` before the next one."""
        await self._filled.wait()
        self._filled.clear()
        taken, self._waiting = self._waiting, {}
        return taken

    def done(self) -> None:
        """What was taken has been confirmed."""
        if not self._waiting:
            self._emptied.set()

    def put_back(self, events: dict[Key, bytes]) -> None:
        """Before all others, but for those that have been replaced or overtaken since."""
        newer = self._waiting
        kept = {
            key: event
            for key, event in events.items()
            if key not in newer and not (key[0] == STARTED and (FINISHED, key[1], key[2]) in newer)
        }
        self._waiting = kept | newer
        if self._waiting:
            self._filled.set()

    async def empty(self) -> None:
        """Returns when everything has been confirmed."""
        await self._emptied.wait()


class Envelopes:
    """Makes envelopes of one instance: counts `seq`, splits what does not fit one message."""

    def __init__(self, worker: str, instance: str) -> None:
        self._worker = json.dumps(worker)
        self._instance = json.dumps(instance)
        self.epoch = 0
        self.seq = 0

    def wrap(self, events: Iterable[bytes]) -> bytes:
        """One envelope around *events*, which must fit."""
        self.seq += 1
        head = (
            f'{{"v":{VERSION},"worker":{self._worker},"epoch":{self.epoch},"instance":{self._instance},'
            f'"seq":{self.seq},"sent_at":"{datetime.now(UTC).isoformat()}","events":['
        )
        return b"%b%b]}" % (head.encode(), b",".join(events))

    def parts(self, events: dict[Key, bytes]) -> Iterator[tuple[list[Key], bytes]]:
        """*events* in as few envelopes as fit: the keys in each, and the envelope."""
        for part in split((item, len(item[1])) for item in events.items()):
            yield [key for key, _ in part], self.wrap(event for _, event in part)
