"""Becomes another program, after arranging that it ends with its parent.

Run as a script by `processes.Child`, never imported: it works between fork and exec, in an interpreter of its own,
so that no Python code has to run in a fork of a process with threads. Arguments: pid of the parent, the signal
of its death, user and group (or -1), whether that user may pass closed directories, then the program. Standard library
only.
"""

import ctypes
import os
import resource
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION = 0x20080522
#: Enough for thousands of quorum queues. Not "all there is": Erlang sizes tables by it.
MOST_FILES = 65_536
LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Set limits, user and death signal; then exec."""
    parent, death, uid, gid, passing = (int(word) for word in sys.argv[1:6])
    argv = sys.argv[6:]
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if uid >= 0:
        become(uid, gid, passing=bool(passing))
    # After the change of user, which would clear it.
    prctl(PR_SET_PDEATHSIG, death)
    if os.getppid() != parent:
        sys.exit(f"the process that wanted {argv[0]} is gone")
    os.execvpe(argv[0], argv, os.environ)  # noqa: S606 - the point of this file


def become(uid: int, gid: int, *, passing: bool) -> None:
    """Change the user; if *passing*, keep the one right to look through directories that are closed to it."""
    if passing:
        prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if passing:
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
        bit = 1 << CAP_DAC_READ_SEARCH
        sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)  # effective, permitted, inheritable: twice 32 bits
        checked(LIBC.capset(header, sets))
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH)


def prctl(*words: int) -> None:
    """Call prctl; unused words are zero."""
    checked(LIBC.prctl(*map(ctypes.c_ulong, (*words, 0, 0, 0, 0)[:5])))


def checked(result: int) -> None:
    """Leave when a call failed."""
    if result != 0:
        sys.exit(f"cannot prepare {sys.argv[6]}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
