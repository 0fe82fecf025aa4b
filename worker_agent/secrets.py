"""The secrets of this worker: files that only its operator fills, told to tasks that ask for them by name.

A task names a secret where a variable's value would stand (`{secret: NAME}`); the coordinator never has more than that
name. A secret is a file of that name in the secrets directory, or among the credentials that systemd hands over.
"""

import contextlib
import fnmatch
import os
import re
import stat
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from worker_agent.masking import LEAST, lines_of

MOST_BYTES: Final = 32 * 1024
#: What tasks can name: `schemas.base.Word`.
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,63}")
#: Logs show these in place of what cannot be shown: a value that holds one could not be found there.
_REPLACEMENTS: Final = "\N{REPLACEMENT CHARACTER}\N{SYMBOL FOR NULL}"


class SecretError(Exception):
    """A secret cannot be had; the message says why, and never holds the secret."""


class Secrets:
    """The secrets in *directories*, the first one first. *readers*, where given, say which kinds of task may read which
    secrets, as `SECRET:KIND` with wildcards."""

    def __init__(self, directories: Sequence[Path] = (), readers: Sequence[str] | None = None) -> None:
        self._directories = directories
        self._readers = readers

    def names(self, kinds: Collection[str]) -> list[str]:
        """Those that are there and that tasks of some of these *kinds* may read. Blocks; does not look into them."""
        found = set()
        for directory in self._directories:
            with contextlib.suppress(OSError), os.scandir(directory) as entries:
                found |= {entry.name for entry in entries if _NAME.fullmatch(entry.name) and entry.is_file()}
        if self._readers is None:
            return sorted(found)
        return sorted(
            name for name in found if any(_matches(name, kind, reader) for kind in kinds for reader in self._readers)
        )

    def read(self, name: str, kind: str) -> str:
        """The secret *name*, for a task of this *kind*. Blocks. Raises `SecretError`."""
        if self._readers is not None and not any(_matches(name, kind, reader) for reader in self._readers):
            raise SecretError(
                f"tasks of kind {kind!r} may not read the secret {name!r} on this worker; "
                "its operator can add it to 'secret_readers'"
            )
        for directory in self._directories:
            try:
                return _read(directory / name, name)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise SecretError(f"the secret {name!r} cannot be read: {error.strerror}") from None
        where = "" if self._directories else "; it has no 'secrets_dir'"
        raise SecretError(f"this worker has no secret {name!r}{where}")


def _read(path: Path, name: str) -> str:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise SecretError(f"the secret {name!r} is not a regular file")
        # Root may let the agent read by its group; nobody else gives others a look.
        forbidden = 0o027 if about.st_uid == 0 != os.geteuid() else 0o077
        if about.st_mode & forbidden:
            mode = stat.S_IMODE(about.st_mode)
            raise SecretError(f"the secret {name!r} is open to others (mode {mode:04o}): chmod 600 {path}")
        raw = file.read(MOST_BYTES + 1)
    try:
        value = raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise SecretError(f"the secret {name!r} is not text in UTF-8") from None
    if len(raw) > MOST_BYTES:
        raise SecretError(f"the secret {name!r} is larger than {MOST_BYTES} bytes")
    if "\0" in value or any(sign in value for sign in _REPLACEMENTS):
        raise SecretError(f"the secret {name!r} holds a character that no variable or log can hold")
    if not lines_of(value):
        raise SecretError(f"the secret {name!r} is shorter than {LEAST} characters: logs could not be kept free of it")
    return value


def _matches(name: str, kind: str, reader: str) -> bool:
    secret, _, kinds = reader.partition(":")
    return fnmatch.fnmatchcase(name, secret) and fnmatch.fnmatchcase(kind, kinds)
