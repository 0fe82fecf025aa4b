"""The names that foreign workers have on this farm."""

import hashlib
import re
from typing import Final

_OTHER: Final = re.compile(r"[^a-z0-9]+")
_LONGEST: Final = 48


def worker_id(protocol: str, name: str, of: str | None = None) -> str:
    """What a worker is called here that its *protocol* calls *name*: readable, always the same, and nobody else's.

    Where a name is not enough to tell workers apart, *of* is what does.

    `celery@render-07` becomes `celery-render-07-` and six digits of a digest, so that two names never become one, nor
    that of one of our own agents.
    """
    readable = _OTHER.sub("-", name.lower())[:_LONGEST].strip("-")
    digest = hashlib.sha256(f"{protocol}\0{name if of is None else of}".encode()).hexdigest()[:6]
    return f"{readable}-{digest}" if readable else f"{protocol.replace('_', '-')}-{digest}"
