"""A Postgres with a tablespace on a disk of its own that is easily filled: a tmpfs that nobody else sees.

`python -m tests.support.small_disk DIRECTORY BYTES` says the server's URL when it answers, and ends it when its input
ends. Its disk is mounted in a mount namespace, an ordinary user's in a user namespace of their own; so it runs as a
process of its own, and what it mounts is gone with it.
"""

import ctypes
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_NEW_MOUNTS: Final = 0x00020000
_NEW_USER: Final = 0x10000000
_PRIVATE: Final = (1 << 18) | (1 << 14)  # MS_PRIVATE | MS_REC
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def postgres(size: int) -> Iterator[tuple[str, Path]]:
    """The URL of a server, and where it can have a tablespace of *size* bytes."""
    with tempfile.TemporaryDirectory(prefix="farmhand-disk-", ignore_cleanup_errors=True) as directory:
        words = [sys.executable, "-m", "tests.support.small_disk", directory, str(size)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url.startswith("postgresql://"), "no small disk: may this user mount a tmpfs (see unshare -Um)?"
            yield url, Path(directory) / "small"
            process.stdin.close()


def main() -> None:
    """In a process of its own, which must have one thread only: hence the late imports."""
    directory, size = Path(sys.argv[1]), int(sys.argv[2])
    small = directory / "small"
    small.mkdir()
    # Postgres asks whether it may enter, as the user that it is.
    directory.chmod(0o711)
    _have_mounts_of_our_own()
    from coordinator.local import binaries  # noqa: PLC0415
    from coordinator.local.accounts import account_for  # noqa: PLC0415
    from coordinator.local.ports import free_port  # noqa: PLC0415
    from coordinator.local.postgres import PrivatePostgres  # noqa: PLC0415

    cache = binaries.cache_directory()
    found = binaries.find_postgres(cache) or binaries.fetch_postgres(cache, print)
    account = account_for(directory, found.bin)
    uid, gid = (account.uid, account.gid) if account else (os.getuid(), os.getgid())
    _call("mount", b"tmpfs", bytes(small), b"tmpfs", 0, f"size={size},mode=700,uid={uid},gid={gid}".encode())
    server = PrivatePostgres(
        found, directory / "postgres", port=free_port(), password=secrets.token_hex(8), durable=False
    )
    server.start()
    try:
        print(server.url, flush=True)
        sys.stdin.read()
    finally:
        server.stop()


def _have_mounts_of_our_own() -> None:
    uid, gid = os.getuid(), os.getgid()
    _call("unshare", _NEW_MOUNTS if uid == 0 else _NEW_MOUNTS | _NEW_USER)
    if uid != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    _call("mount", None, b"/", None, _PRIVATE, None)


def _call(name: str, *words: object) -> None:
    if getattr(_libc, name)(*words) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
