"""Worker tags are labels here: what an operator has approved for a worker, and tasks may ask for. Pure.

Theirs are rows with a UUID. A label is nothing but its name, so the UUID of a tag spells the name: it is the same
everywhere and always, and a tag that no worker has yet needs no row.
"""

import string
from typing import Final
from uuid import UUID, uuid5

from coordinator.domain.worker import is_own

_LETTERS: Final = string.ascii_letters + string.digits + "_.:+-"
_DIGIT: Final = {letter: number for number, letter in enumerate(_LETTERS, 1)}
_BASE: Final = len(_LETTERS) + 1
#: As many letters have room in a UUID.
LONGEST: Final = 20
#: Where the UUIDs of longer labels come from, which only tell them apart.
_LONGER: Final = UUID("5d0c1a7e-0b1f-8e6a-9c1d-7a9d3e0b5f42")
_LOW: Final = 2**62
_MIDDLE: Final = 2**12


def uuid_of(label: str) -> str:
    """The tag that is this label."""
    if len(label) > LONGEST:
        return str(uuid5(_LONGER, label))
    number = 0
    for letter in label:
        number = number * _BASE + _DIGIT[letter]
    rest, low = divmod(number, _LOW)
    high, middle = divmod(rest, _MIDDLE)
    return str(UUID(int=high << 80 | 8 << 76 | middle << 64 | 0b10 << 62 | low))


def spelled(uuid: str) -> str | None:
    """The label that this UUID spells; None when it spells none."""
    value = UUID(uuid).int
    number = ((value >> 80) * _MIDDLE + (value >> 64) % _MIDDLE) * _LOW + value % _LOW
    letters = ""
    while number:
        number, digit = divmod(number, _BASE)
        if not digit:
            return None
        letters = _LETTERS[digit - 1] + letters
    return letters if wrong_with(letters) is None and uuid_of(letters) == uuid.lower() else None


def wrong_with(name: str) -> str | None:
    """Why *name* can be no tag's; None when it can."""
    if not 0 < len(name) <= LONGEST:
        return f"a tag's name has 1 to {LONGEST} letters here"
    if name[0] in ".:+-" or any(letter not in _DIGIT for letter in name):
        return "a tag's name is a label here: letters, digits, and _ . : + - but not first"
    if is_own(name):
        return f"{name} is a worker's own name"
    return None
