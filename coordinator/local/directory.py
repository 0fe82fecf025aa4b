"""The directory of a set of private servers: its lock, its password, its ports; kept or temporary.

What must be the same at the next start is in `services.json`, readable by its owner only.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

from coordinator.local.errors import LocalServiceError
from coordinator.local.ports import free_port, is_free

_PREFIX: Final = "farmhand-"
_MEMORY: Final = "services.json"
_LOCK: Final = "lock"


class Directory:
    """Ours alone while it is open. A temporary one is removed when closed."""

    def __init__(self, kept: Path | None, *, patience_s: float = 5) -> None:
        """Open *kept*, made if need be, or a fresh temporary directory.

        A former owner's servers may still be ending: their ports are waited for, *patience_s* at most.
        """
        self._patience_s = patience_s
        self.temporary = kept is None
        if kept is None:
            _sweep()
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        else:
            self.path = kept.expanduser().absolute()
            try:
                self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise LocalServiceError(f"cannot make the data directory {kept}: {error.strerror}") from None
        # Others may pass through, not look: as root, Postgres runs under another account inside.
        self.path.chmod(0o711)
        self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        if not _locked(self._lock):
            os.close(self._lock)
            raise LocalServiceError(f"{self.path} is in use by another farmhand: stop it, or choose another directory")
        self._given: set[int] = set()
        try:
            self._memory = self._recall()
        except LocalServiceError:
            self.close()
            raise

    @property
    def password(self) -> str:
        """The password of all servers in here."""
        if "password" not in self._memory:
            self._remember("password", secrets.token_urlsafe(24))
        return str(self._memory["password"])

    def port(self, name: str, wanted: int | None = None) -> int:
        """The port of server *name*: *wanted* if given, else the one it had last time, else a free one.

        A remembered port that something else took meanwhile is replaced.
        """
        if wanted is not None:
            if not is_free(wanted):
                raise LocalServiceError(f"port {wanted} ({name}) is taken: stop what listens there, or choose another")
            return wanted
        remembered = self._memory.get(f"port.{name}")
        if isinstance(remembered, int) and remembered not in self._given and self._becomes_free(remembered):
            self._given.add(remembered)
            return remembered
        port = free_port()
        while port in self._given:
            port = free_port()
        self._given.add(port)
        self._remember(f"port.{name}", port)
        return port

    def _becomes_free(self, port: int) -> bool:
        deadline = time.monotonic() + self._patience_s
        while not is_free(port):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def close(self) -> None:
        """Give it up; a temporary one disappears."""
        if self._lock < 0:
            return
        if self.temporary:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        self._lock = -1

    def _recall(self) -> dict[str, str | int]:
        with contextlib.suppress(FileNotFoundError):
            try:
                memory = json.loads((self.path / _MEMORY).read_text())
            except ValueError:
                raise LocalServiceError(f"{self.path / _MEMORY} is damaged: restore it from a backup") from None
            if isinstance(memory, dict):
                return memory
        return {}

    def _remember(self, name: str, value: str | int) -> None:
        self._memory[name] = value
        draft = self.path / f"{_MEMORY}.new"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(self._memory, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path / _MEMORY)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sweep() -> None:
    """Remove temporary directories whose owner was killed before it could."""
    minute_ago = time.time() - 60
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError):
            if left.stat().st_uid != os.getuid() or left.stat().st_mtime > minute_ago:
                continue
            lock = os.open(left, os.O_RDWR)
            try:
                if _locked(lock):
                    shutil.rmtree(left.parent, ignore_errors=True)
            finally:
                os.close(lock)
