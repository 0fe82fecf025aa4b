"""What tasks print, cut into chunks that can be stored.

A chunk is UTF-8 text of at most 16 KiB without NUL; bytes that are no text are replaced visibly. Lines are gathered for
a short while, chunks are counted from 0, and after 16 MiB an attempt's log ends with one line that says so.
"""

from collections.abc import Iterator
from datetime import date
from typing import Final

from schemas.task import TaskLog

#: Bytes of text in one chunk, and in one event as JSON (control characters take six bytes each there).
CHUNK_BYTES: Final = 16 * 1024
EVENT_BYTES: Final = 60 * 1024
ATTEMPT_BYTES: Final = 16 * 1024 * 1024
#: Raw bytes that fit one event whatever they are.
_SURELY_FITS: Final = CHUNK_BYTES // 3
#: UTF-8: bytes from here on continue a character, and from here on begin one of several bytes.
_CONTINUATION: Final = 0x80
_LEAD: Final = 0xC0
TRUNCATED: Final = "\n[farmhand] log truncated: it reached 16 MiB\n"

_to_json = TaskLog.__pydantic_serializer__.to_json


def storable(raw: bytes) -> str:
    """*raw* as text that can be stored anywhere: what is not UTF-8 becomes U+FFFD, NUL becomes U+2400."""
    return raw.decode("utf-8", "replace").replace("\0", "\N{SYMBOL FOR NULL}")


def clean(text: str) -> str:
    """*text* without what cannot be stored: NUL and lone surrogates are replaced visibly."""
    return storable(text.encode("utf-8", "replace")) if "\0" in text or not text.isascii() else text


class LogStream:
    """The log of one attempt, from lines to `task.log` events (as JSON)."""

    __slots__ = ("_attempt", "_buffer", "_chunk", "_day", "_room", "_size", "_task")

    def __init__(self, task: int, attempt: int, day: date) -> None:
        self._task, self._attempt, self._day = task, attempt, day
        self._buffer: list[bytes] = []
        self._size = 0
        self._chunk = 0
        self._room = ATTEMPT_BYTES

    def write(self, raw: bytes) -> list[bytes]:
        """Take *raw*; the events that are full by it."""
        if self._room < 0:
            return []
        self._buffer.append(raw)
        self._size += len(raw)
        return list(self._cut(CHUNK_BYTES)) if self._size >= CHUNK_BYTES else []

    def flush(self) -> list[bytes]:
        """The events of all that has gathered."""
        if not self._size:
            return []
        if self._size <= _SURELY_FITS and self._size <= self._room:
            text = storable(b"".join(self._buffer))
            self._room -= self._size
            self._buffer, self._size = [], 0
            return [self._event(text)]
        return list(self._cut(1))

    def _cut(self, least: int) -> Iterator[bytes]:
        """Chunks that end with a line where possible, while *least* bytes or more are there."""
        raw = b"".join(self._buffer)
        start, end = 0, len(raw)
        while end - start >= least and self._room >= 0:
            stop = min(end, start + CHUNK_BYTES)
            if stop < end:
                line_end = raw.rfind(b"\n", start, stop) + 1
                stop = line_end if line_end > start else _character_start(raw, stop)
            yield from self._events(storable(raw[start:stop]))
            start = stop
        self._buffer, self._size = ([raw[start:]], end - start) if start < end else ([], 0)

    def _events(self, text: str) -> Iterator[bytes]:
        size = len(text.encode())
        if self._room - size < 0:
            self._room = -1
            yield self._event(TRUNCATED)
            return
        if size > CHUNK_BYTES:
            yield from self._halves(text)
            return
        event = self._event(text)
        if len(event) > EVENT_BYTES:
            self._chunk -= 1
            yield from self._halves(text)
            return
        self._room -= size
        yield event

    def _halves(self, text: str) -> Iterator[bytes]:
        middle = len(text) // 2
        yield from self._events(text[:middle])
        if self._room >= 0:
            yield from self._events(text[middle:])

    def _event(self, text: str) -> bytes:
        chunk, self._chunk = self._chunk, self._chunk + 1
        return _to_json(TaskLog(task=self._task, attempt=self._attempt, chunk=chunk, day=self._day, text=text))


def _character_start(raw: bytes, stop: int) -> int:
    """*stop*, or a little before it where it would cut a UTF-8 character."""
    for back in range(1, 4):
        byte = raw[stop - back]
        if byte >= _LEAD:
            return stop - back
        if byte < _CONTINUATION:
            break
    return stop
