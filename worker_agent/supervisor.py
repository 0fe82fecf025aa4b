"""Ends an exclusive task in time, also when its agent is stopped, hung or dead.

Run by itself, with nothing but the standard library: `python -I -S supervisor.py FD PLACE PROGRAM WORD...`. It starts
the program in a session of its own and adopts whatever that leaves behind. PLACE (`nice,oom_score,idle_io,group`, or
nothing) is what the program takes upon itself before it begins, and the supervisor never: it must be in time. Over the
socket FD the agent says until when the program may run, as two times on the clock that goes on while the machine sleeps
(CLOCK_BOOTTIME): SIGTERM at the first, SIGKILL at the second; each renewal of the lease moves them. When the socket
closes, the agent is dead, nobody could report a result any more, and the program is ended at once.

Promises: it ends only when no descendant of the program is left, and then as the program did; `!` is written to FD when
the time was over; should the supervisor itself be killed, the kernel kills the program. Should it be stopped together
with the program, the kernel kills it at the end of the lease, and so the program, before either can go on.
"""

import ctypes
import math
import os
import select
import signal
import struct
import sys
import time
from contextlib import suppress
from typing import Final, NoReturn

#: What the agent says: SIGTERM then, SIGKILL then.
FRAME: Final = struct.Struct("<dd")
OVER: Final = b"!"
#: Seconds between SIGTERM and SIGKILL when nobody says so.
GRACE_S: Final = 2.0
#: Between two looks for what was forked while everything was killed.
AGAIN_S: Final = 0.05
CANNOT_START: Final = 126

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
#: The system call that sets a process's place among those that read and write, and the last place there.
_IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30}
_IDLE: Final = 3 << 13
_TFD_NONBLOCK_CLOEXEC: Final = os.O_NONBLOCK | os.O_CLOEXEC
_TIMER_ABSTIME: Final = 1

_libc = ctypes.CDLL(None, use_errno=True)
#: Before glibc 2.34 timers were in a library of their own.
_timers = _libc if hasattr(_libc, "timer_create") else ctypes.CDLL("librt.so.1", use_errno=True)


def now() -> float:
    """Seconds on the clock that counts sleep too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _parts(at_s: float) -> tuple[int, int]:
    """Whole seconds and the nanoseconds beyond them."""
    return divmod(int(at_s * 1e9), 10**9)


class Timer:
    """Becomes readable at a time of that clock, also right after a sleep of the machine."""

    def __init__(self) -> None:
        self.fd = _libc.timerfd_create(time.CLOCK_BOOTTIME, _TFD_NONBLOCK_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def set(self, at_s: float) -> None:
        """Fire at *at_s*."""
        value = (ctypes.c_long * 4)(0, 0, *_parts(max(at_s, 1e-9)))
        _libc.timerfd_settime(self.fd, _TIMER_ABSTIME, ctypes.byref(value), None)


class Switch:
    """A dead man's switch: the kernel kills us at a time of that clock, stopped or not."""

    def __init__(self) -> None:
        # struct sigevent: a value, the signal, how it is told (0: as a signal), and room.
        event = ctypes.create_string_buffer(struct.pack("<qii", 0, signal.SIGKILL, 0), 64)
        self._id = ctypes.c_void_p()
        if _timers.timer_create(time.CLOCK_BOOTTIME, event, ctypes.byref(self._id)) != 0:
            raise OSError(ctypes.get_errno(), "timer_create")

    def set(self, at_s: float) -> None:
        """Be killed at *at_s*; 0: not at all."""
        value = (ctypes.c_long * 4)(0, 0, *_parts(at_s))
        _timers.timer_settime(self._id, _TIMER_ABSTIME, ctypes.byref(value), None)


class Supervisor:
    """One program, and the times until which it may run."""

    def __init__(self, control: int) -> None:
        self.control = control
        self.terminate_at = self.kill_at = 0.0
        self.over_at = math.inf
        self.child = 0
        self.status: int | None = None
        self.ending = self.terminated = self.killed = False
        self._rest = b""
        self._timer = Timer()
        self._switch = Switch()
        self._wakeup, wakeup = os.pipe2(_TFD_NONBLOCK_CLOEXEC)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _: object) -> None:
        if number != signal.SIGCHLD:
            self.stop()

    def stop(self) -> None:
        """End it now, with a grace that does not outlive the lease."""
        self.terminate_at = min(self.terminate_at, now())
        self.kill_at = min(self.kill_at, self.terminate_at + GRACE_S)

    # --- the agent -------------------------------------------------------------------------------------------

    def listen(self) -> bool:
        """Take what the agent has said; False when it is gone."""
        try:
            data = os.read(self.control, 4096)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        self._rest += data
        while len(self._rest) >= FRAME.size:
            terminate_at, kill_at = FRAME.unpack(self._rest[: FRAME.size])
            self._rest = self._rest[FRAME.size :]
            # The lease ends as long after SIGKILL as that comes after SIGTERM.
            over_at = 2 * kill_at - terminate_at
            if self.ending:  # which cannot be taken back, only hurried
                terminate_at, kill_at = min(self.terminate_at, terminate_at), min(self.kill_at, kill_at)
            self.terminate_at, self.kill_at = terminate_at, kill_at
            self.ending = self.ending or now() >= terminate_at
            self.over_at = min(self.over_at, over_at) if self.ending else over_at
        return bool(data)

    # --- the program -----------------------------------------------------------------------------------------

    def start(self, place: str, argv: list[str]) -> None:
        """Start it, leading a session of its own."""
        parent = os.getpid()
        self.child = os.fork()
        if self.child == 0:
            _become(place, argv, parent)

    def bury(self) -> bool:
        """Collect what has ended; whether nothing is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            if pid == self.child:
                self.status = status

    def act(self) -> float:
        """What is due is done; when the next thing is."""
        at = now()
        if self.status is not None or at >= self.kill_at:
            # The program has ended, and what it has left behind has no business any more; or the time is over.
            if self.status is None and not self.killed:
                self._say_over()
            self.killed = True
            # What SIGKILL does not end at once is waited for, however long.
            self._switch.set(0)
            kill_all(self.child)
            return at + AGAIN_S
        self._switch.set(self.over_at)
        if self.ending or at >= self.terminate_at:
            self.ending = True
            if not self.terminated:
                self.terminated = True
                self._say_over()
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.child, signal.SIGTERM)
            return self.kill_at
        return self.terminate_at

    def _say_over(self) -> None:
        with suppress(OSError):
            os.write(self.control, OVER)

    # --- all of it -------------------------------------------------------------------------------------------

    def run(self, place: str, argv: list[str]) -> int:
        """The program's wait status, when nothing of it is left; 0 when its time was over before it began."""
        self.listen()
        os.set_blocking(self.control, False)
        if now() >= self.terminate_at:
            self._say_over()
            return 0
        self._switch.set(self.over_at)
        self.start(place, argv)
        poll = select.poll()
        for fd in (self.control, self._timer.fd, self._wakeup):
            poll.register(fd, select.POLLIN)
        while not self.bury():
            self._timer.set(self.act())
            for fd, _ in poll.poll():
                if fd != self.control:
                    with suppress(BlockingIOError):
                        os.read(fd, 4096)
            # The newest word of the agent counts, also when the timer was first.
            if self.control >= 0 and not self.listen():
                poll.unregister(self.control)
                os.close(self.control)
                self.control = -1
                self.stop()
        return self.status or 0


def _become(place: str, argv: list[str], parent: int) -> NoReturn:
    """In the child: the program, as if the agent had started it. The kernel kills it when its supervisor dies."""
    try:
        os.setsid()
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(CANNOT_START)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
            signal.signal(number, signal.SIG_DFL)
        if place:
            _take(place)
        os.execvp(argv[0], argv)  # noqa: S606 - what runs is what the agent has checked
    except OSError as error:
        os.write(2, f"cannot start {argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(CANNOT_START)


def _take(place: str) -> None:
    """Be in this *place*; what cannot be is said, in the task's log."""
    nice, oom_score, idle_io, group = place.split(",", 3)
    for what, take, value in (
        (f"nice {nice}", _be_nice, nice),
        (f"oom_score {oom_score}", _be_expendable, oom_score),
        ("idle_io", _be_idle, idle_io),
        (f"memory, in {group}", _join, group),
    ):
        try:
            take(value)
        except (OSError, KeyError, ValueError) as error:
            os.write(2, f"[farmhand] unmet limit: {what} ({error})\n".encode())


def _be_nice(value: str) -> None:
    if int(value) > os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, int(value))


def _be_expendable(value: str) -> None:
    if int(value) > 0:
        with open("/proc/self/oom_score_adj", "r+") as file:  # noqa: PTH123
            if int(value) > int(file.read()):
                file.seek(0)
                file.write(value)


def _be_idle(value: str) -> None:
    if value == "1" and _libc.syscall(_IOPRIO_SET[os.uname().machine], 1, 0, _IDLE) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _join(group: str) -> None:
    if group:
        with open(f"{group}/cgroup.procs", "w") as file:  # noqa: PTH123
            file.write("0")


def kill_all(leader: int) -> None:
    """SIGKILL to the group of *leader* and to every process that descends from us."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    parents = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib would double the time to start
        if name.isdecimal():
            with suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    for pid in found - {os.getpid()}:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def main() -> int:
    """End as the program did."""
    control, place, argv = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    os.set_inheritable(control, False)  # noqa: FBT003
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    status = Supervisor(control).run(place, argv)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        # By the same signal, without a second core file.
        with suppress(ImportError, ValueError, OSError):
            import resource  # noqa: PLC0415 - seldom needed

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.set_wakeup_fd(-1)
        with suppress(OSError, ValueError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
