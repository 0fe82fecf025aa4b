"""Which account Postgres runs as: it refuses to run as root."""

import os
import pwd
import re
from pathlib import Path
from typing import Final

from coordinator.local.errors import LocalServiceError
from coordinator.local.processes import Account

_CAP_DAC_READ_SEARCH: Final = 1 << 2


def account_for(*needed: Path) -> Account | None:
    """The account for a server that must not be root and needs the paths *needed*; None: run as we are.

    Raises:
        LocalServiceError: we are root, but cannot let another account pass the directories on the way.
    """
    if os.geteuid() != 0:
        return None
    entry = _entry("postgres") or _entry("nobody")
    if entry is None:
        raise LocalServiceError("Postgres refuses to run as root, and there is no user postgres or nobody: add one")
    above = {parent for path in needed for parent in path.resolve().parents}
    closed = sorted(parent for parent in above if not parent.stat().st_mode & 0o001)
    if closed and not _may_let_pass():
        raise LocalServiceError(
            f"Postgres refuses to run as root, and user {entry.pw_name} may not pass {closed[0]}: "
            "choose a directory under /var/lib, or run as an ordinary user"
        )
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, passing=bool(closed))


def _may_let_pass() -> bool:
    """Whether this root has the capability to hand on: one in a container may not."""
    status = Path("/proc/self/status").read_text()
    permitted = re.search(r"^CapPrm:\s*([0-9a-f]+)$", status, flags=re.MULTILINE)
    return bool(permitted and int(permitted[1], 16) & _CAP_DAC_READ_SEARCH)


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None
