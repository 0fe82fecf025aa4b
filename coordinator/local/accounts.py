"""Which account Postgres runs as: it refuses to run as root."""

import os
import pwd
from pathlib import Path

from coordinator.local.errors import LocalServiceError
from coordinator.local.processes import Account


def account_for(directory: Path, *needed: Path) -> Account | None:
    """The account for a server that must not be root, or None to run as we are.

    *directory* becomes theirs; every one of *needed* must be readable by them.

    Raises:
        LocalServiceError: we are root, and there is a directory on the way that only root may pass.
    """
    if os.geteuid() != 0:
        return None
    entry = _entry("postgres") or _entry("nobody")
    if entry is None:
        raise LocalServiceError("Postgres refuses to run as root, and there is no user postgres or nobody: add one")
    for path in (directory, *needed):
        closed = next((parent for parent in path.resolve().parents if not parent.stat().st_mode & 0o001), None)
        if closed:
            raise LocalServiceError(
                f"Postgres refuses to run as root, and user {entry.pw_name} may not pass {closed} on the way to {path}: "
                "choose a directory under /var/lib, or run as an ordinary user"
            )
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None
