"""Keeps secrets out of what is told: wherever a secret's value stands in a text, `***` stands in its place.

Works on a stream that comes in pieces of any size. What may yet become a value is held back until that is known, so the
result does not depend on where the pieces were cut. A secret of several lines is masked line by line.
"""

from collections.abc import Iterable
from typing import Final

from pydantic import JsonValue

MASKED: Final = "***"
#: A shorter value would be found everywhere.
LEAST: Final = 4
_MASKED: Final = MASKED.encode()


def lines_of(value: str) -> list[str]:
    """The parts of a secret that are looked for."""
    return [line for line in value.splitlines() if len(line) >= LEAST]


class Mask:
    """Masks the *values* in one stream."""

    def __init__(self, values: Iterable[str]) -> None:
        self._values = [line.encode() for line in {line for value in values for line in lines_of(value)}]
        self._rest = b""
        #: So many bytes of the rest are told already, as part of a mask.
        self._covered = 0

    def feed(self, data: bytes) -> bytes:
        """Take *data*; what can be told by now."""
        data = self._rest + data
        keep = self._undecided(data)
        told, covered = self._told(data, keep)
        self._rest, self._covered = data[keep:], covered
        return told

    def close(self) -> bytes:
        """Nothing follows: what was held back."""
        told, _ = self._told(self._rest, len(self._rest))
        self._rest, self._covered = b"", 0
        return told

    def text(self, text: str) -> str:
        """*text*, by itself, masked."""
        return self._whole(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def value(self, value: JsonValue) -> JsonValue:
        """All texts in *value* masked."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.text(name): self.value(item) for name, item in value.items()}
        return value

    def _whole(self, data: bytes) -> bytes:
        return _join(data, self._spans(data), len(data), covered=0)

    def _undecided(self, data: bytes) -> int:
        """Where the longest end of *data* begins that may become a value."""
        longest = 0
        for value in self._values:
            for size in range(min(len(value) - 1, len(data)), longest, -1):
                if data.endswith(value[:size]):
                    longest = size
                    break
        return len(data) - longest

    def _told(self, data: bytes, keep: int) -> tuple[bytes, int]:
        spans = self._spans(data)
        told = _join(data, spans, keep, covered=self._covered)
        begun = (end - keep for start, end in spans if start < keep < end or (self._covered and not start))
        return told, max((0, *begun))

    def _spans(self, data: bytes) -> list[tuple[int, int]]:
        """Where values stand, those that overlap as one; first of all what is covered."""
        found = [(0, self._covered)] if self._covered else []
        for value in self._values:
            at = data.find(value)
            while at >= 0:
                found.append((at, at + len(value)))
                at = data.find(value, at + 1)
        spans: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if spans and start < spans[-1][1]:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            else:
                spans.append((start, end))
        return spans


def _join(data: bytes, spans: list[tuple[int, int]], keep: int, *, covered: int) -> bytes:
    """*data* before *keep*, with a mask for each of *spans*; the first one's is told when something is covered."""
    parts, at = [], 0
    for start, end in spans:
        if start >= keep:
            break
        parts.append(data[at:start])
        if start or not covered:
            parts.append(_MASKED)
        at = end
    parts.append(data[at:keep])
    return b"".join(parts)
