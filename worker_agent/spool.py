"""Log events that wait: in memory while they flow, in files of the data directory when they do not.

First in, first out, also over the agent's own death: a segment is deleted when all of it has been confirmed, and one
that was half sent is sent again (chunks are numbered, the coordinator stores each once). Bounded: what comes when the
spool is full, or when the disk is, is dropped and counted, and each log says where: the first piece that it lost is
replaced by a line.
"""

import asyncio
import contextlib
import itertools
import json
import os
from collections import deque
from pathlib import Path
from typing import Final

#: Bytes that wait in memory before they go to a file, of one file, and of all files together.
MEMORY_BYTES: Final = 1024 * 1024
SEGMENT_BYTES: Final = 4 * 1024 * 1024
SPOOL_BYTES: Final = 512 * 1024 * 1024
DROPPED: Final = (
    "\n[farmhand] a part of this log is missing: the worker could not send it, and had no room to keep it\n"
)
_compact: Final = json.JSONEncoder(separators=(",", ":")).encode


class Spool:
    """The queue of log events (JSON without line breaks) in *directory*."""

    def __init__(self, directory: Path, *, limit: int = SPOOL_BYTES) -> None:
        self._directory = directory
        self._limit = limit
        self._memory: deque[bytes] = deque()
        self._memory_size = 0
        self._lent: list[bytes] = []
        self._head: deque[bytes] = deque()
        self._head_file: Path | None = None
        self._numbers = itertools.count(1)
        self._files: deque[tuple[Path, int]] = deque()
        self._stored = 0
        #: Which logs have lost something that no file tells of yet, and what will tell of it; these wait in memory.
        self._marks: dict[tuple[int, int], bytes] = {}
        self.dropped = 0
        self.filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._find()

    def _find(self) -> None:
        found = sorted(self._directory.glob("*.log")) if self._directory.is_dir() else []
        for path in found:
            size = path.stat().st_size
            self._files.append((path, size))
            self._stored += size
        if found:
            self._emptied.clear()
            self._numbers = itertools.count(int(found[-1].stem) + 1)
            self.filled.set()

    def __bool__(self) -> bool:
        return bool(self._lent or self._head or self._files or self._memory)

    def put(self, events: list[bytes]) -> None:
        """Take *events*; never raises."""
        for event in events:
            self._memory.append(event)
            self._memory_size += len(event) + 1
        if self._memory_size > MEMORY_BYTES:
            self.store()
        self.filled.set()
        self._emptied.clear()

    async def empty(self) -> None:
        """Returns when everything has been confirmed."""
        await self._emptied.wait()

    def store(self) -> None:
        """Write what waits in memory to a file."""
        if not self._memory:
            return
        if self._stored + self._memory_size > self._limit:
            self._drop()
            return
        path, size = self._files[-1] if self._files else (None, SEGMENT_BYTES)
        if path is None or size + self._memory_size > SEGMENT_BYTES or path == self._head_file:
            path, size = self._directory / f"{next(self._numbers):012}.log", 0
            self._files.append((path, 0))
        block = b"".join(event + b"\n" for event in self._memory)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(block)
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(path, size)
            if not size:
                self._files.pop()
            self._drop()
            return
        self._files[-1] = (path, size + len(block))
        self._stored += len(block)
        self._marks.clear()
        self._memory.clear()
        self._memory_size = 0

    def _drop(self) -> None:
        """Lose what waits in memory, but for a line of each log that says so."""
        for event in self._memory:
            lost = json.loads(event)
            log = lost["task"], lost["attempt"]
            if self._marks.get(log) != event:
                self.dropped += 1
                self._marks.setdefault(log, _compact(lost | {"text": DROPPED}).encode())
        self._memory = deque(self._marks.values())
        self._memory_size = sum(len(event) + 1 for event in self._memory)

    async def take(self, most_bytes: int) -> list[bytes]:
        """The oldest events, as many as fit *most_bytes*; they stay here until `done`."""
        while not self._lent:
            await self.filled.wait()
            source = self._source()
            used = 0
            while source and used + len(source[0]) + 1 <= most_bytes:
                used += len(source[0]) + 1
                self._lent.append(source.popleft())
            if source is self._memory:
                self._memory_size -= used
                self._marks.clear()
            if not self._lent:
                source.clear()
                self.done()
        return self._lent

    def _source(self) -> deque[bytes]:
        if self._head_file is None and self._files:
            self._head_file = self._files[0][0]
            with contextlib.suppress(OSError):
                lines = self._head_file.read_bytes().splitlines()
                # The last line of a file may have been cut by the death of the agent.
                self._head.extend(line for line in lines if line.startswith(b"{") and line.endswith(b"}"))
        return self._head if self._head_file is not None else self._memory

    def done(self) -> None:
        """What was taken has been confirmed."""
        self._lent = []
        if self._head_file is not None and not self._head:
            path, size = self._files.popleft()
            self._stored -= size
            path.unlink(missing_ok=True)
            self._head_file = None
        if not self:
            self.filled.clear()
            self._emptied.set()

    def keep(self) -> None:
        """The broker does not take what was taken from here: all of it goes to files, for a later try or life."""
        if self._head_file is None:
            self._memory.extendleft(reversed(self._lent))
            self._memory_size += sum(len(event) + 1 for event in self._lent)
            self._lent = []
        self.store()
