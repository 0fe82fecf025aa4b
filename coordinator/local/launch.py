"""Becomes another program, after arranging that it ends with its parent.

Run as a script by `processes.Child`, never imported: it works between fork and exec, in an interpreter of its own,
so that no Python code has to run in a fork of a process with threads. Arguments: pid of the parent, the signal
of its death, user and group (or -1), then the program. Standard library only.
"""

import ctypes
import os
import resource
import sys

PR_SET_PDEATHSIG = 1
#: Enough for thousands of quorum queues. Not "all there is": Erlang sizes tables by it.
MOST_FILES = 65_536


def main() -> None:
    """Set limits, user and death signal; then exec."""
    parent, signal, uid, gid = (int(word) for word in sys.argv[1:5])
    argv = sys.argv[5:]
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    # After the change of user, which would clear it.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) != 0:
        sys.exit(f"cannot tie {argv[0]} to its parent: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit(f"the process that wanted {argv[0]} is gone")
    os.execvpe(argv[0], argv, os.environ)  # noqa: S606 - the point of this file


if __name__ == "__main__":
    main()
