"""How much of the machine a task's processes get: priority, and memory that is counted and enforced.

Memory is limited by the kernel where the agent has a part of the cgroup tree (v2) for its own, as systemd delegates it;
elsewhere somebody looks twice a second and ends what has grown too large. An address-space limit would be simpler and
wrong: many programs reserve far more than they use.
"""

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from schemas.task import Limits, Resources
from worker_agent.cgroups import MIB, Cgroups, OnExcess
from worker_agent.leases import Lease
from worker_agent.supervision import is_supervisor

LOOK_S: Final = 0.5
_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_PROC: Final = Path("/proc")
#: Of what stands behind the name in /proc/PID/stat: the parent, the session, and the resident pages.
_PARENT, _SESSION, _RESIDENT = 1, 3, 21


@dataclass(frozen=True, slots=True)
class Caps:
    """What the processes of one attempt get: at most so much memory, and no better a place than this."""

    memory_bytes: int | None = None
    nice: int = 0
    oom_score: int = 0
    idle_io: bool = False

    def under(self, wanted: Limits | None, resources: Resources, *, enforce_memory: bool) -> "Caps":
        """These, made narrower by what a task says of itself, and by the memory that it asked for where that counts."""
        wanted = wanted or Limits()
        mib = wanted.memory_mb or (resources.memory_mb if enforce_memory else 0)
        return Caps(
            mib * MIB or self.memory_bytes,
            max(self.nice, wanted.nice),
            max(self.oom_score, wanted.oom_score),
            self.idle_io or wanted.idle_io,
        )


def enforceable() -> list[str]:
    """The limits of tasks (fields of `Limits`) that can be kept on this machine."""
    can = {
        "memory_mb": (_PROC / "self" / "stat").exists(),
        "nice": hasattr(os, "setpriority"),
        "oom_score": os.access(_PROC / "self" / "oom_score_adj", os.W_OK),
        "idle_io": hasattr(psutil, "IOPRIO_CLASS_IDLE"),
    }
    return [name for name, so in can.items() if so]


def settle(pid: int, caps: Caps) -> dict[str, str]:
    """Give the new session of *pid* its place. What is not allowed here is left as it is: which limit, and why."""
    unmet: dict[str, str] = {}
    for name, give in (("nice", _be_nice), ("oom_score", _be_expendable), ("idle_io", _be_idle)):
        try:
            give(pid, caps)
        except (ProcessLookupError, FileNotFoundError, psutil.NoSuchProcess):
            pass  # it has ended
        except psutil.AccessDenied:
            unmet[name] = os.strerror(errno.EACCES)
        except (OSError, ValueError, AttributeError) as error:
            unmet[name] = getattr(error, "strerror", None) or str(error)
    return unmet


def _be_nice(pid: int, caps: Caps) -> None:
    if caps.nice > os.getpriority(os.PRIO_PROCESS, pid):
        os.setpriority(os.PRIO_PGRP, pid, caps.nice)


def _be_expendable(pid: int, caps: Caps) -> None:
    path = _PROC / str(pid) / "oom_score_adj"
    if caps.oom_score > 0 and caps.oom_score > int(path.read_text()):
        path.write_text(str(caps.oom_score))


def _be_idle(pid: int, caps: Caps) -> None:
    if caps.idle_io:
        psutil.Process(pid).ionice(psutil.IOPRIO_CLASS_IDLE)


def in_words(used: int, most: int) -> str:
    """Why a task was ended."""
    return f"it took {used // MIB} MiB of memory, more than the {most // MIB} allowed"


class Limiter:
    """Gives processes their place, and keeps them within their memory: by the kernel if it can be, else by looking."""

    def __init__(self, cgroup: Path | None) -> None:
        self._watch = Watch()
        self._groups = Cgroups.found(cgroup)
        #: The group of the process that is just being started under a supervisor, and how many there were.
        self._prepared: Path | None = None
        self._made = 0
        #: How memory is limited here.
        self.words = f"by the kernel, in {self._groups.base}" if self._groups else "looked at twice a second"

    async def run(self) -> None:
        """For ever."""
        await self._watch.run()

    def prepare(self, caps: Caps) -> str:
        """What the next process under a supervisor takes upon itself before it begins, for `supervisor`: so that the
        supervisor, which must end it in time, keeps its own place."""
        self._prepared = None
        if self._groups is not None and caps.memory_bytes is not None:
            self._made += 1
            with contextlib.suppress(OSError):
                self._prepared = self._groups.make(f"supervised-{self._made}", caps.memory_bytes)
        return f"{caps.nice},{caps.oom_score},{int(caps.idle_io)},{self._prepared or ''}"

    def hold(self, pid: int, caps: Caps, on_excess: OnExcess, lease: Lease | None = None) -> dict[str, str]:
        """The session of *pid* begins; *on_excess* hears of it when it was ended for the memory that it took. Which
        limits cannot be kept, and why. With a *lease* it is a supervisor, whose program has its place already."""
        unmet = settle(pid, caps) if lease is None else {}
        if caps.memory_bytes is None:
            return unmet
        if lease is not None:
            if self._groups is not None and self._prepared is not None:
                self._groups.keep(pid, self._prepared, caps.memory_bytes, on_excess)
        elif self._groups is not None:
            with contextlib.suppress(OSError):
                self._groups.hold(pid, caps.memory_bytes, on_excess)
                return unmet
        self._watch.hold(pid, caps.memory_bytes, on_excess)
        return unmet

    def release(self, pid: int) -> None:
        """It has ended."""
        self._watch.release(pid)
        if self._groups is not None:
            self._groups.release(pid)


# --- by looking ------------------------------------------------------------------------------------------------


class Watch:
    """Looks at what the processes of a session take together, and kills them when it is too much."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[int, OnExcess]] = {}
        self._wanted = asyncio.Event()

    def hold(self, pid: int, most: int, on_excess: OnExcess) -> None:
        """Watch the session of *pid*."""
        self._held[pid] = (most, on_excess)
        self._wanted.set()

    def release(self, pid: int) -> None:
        """Watch it no more."""
        self._held.pop(pid, None)
        if not self._held:
            self._wanted.clear()

    async def run(self) -> None:
        """For ever; does nothing while nothing is held."""
        while True:
            await self._wanted.wait()
            limits = {pid: most for pid, (most, _) in self._held.items()}
            for excess in await asyncio.to_thread(excesses, limits):
                if excess.leader in self._held:
                    most, on_excess = self._held[excess.leader]
                    # Said before it is done: the end of a process may be noticed at once.
                    on_excess(in_words(excess.used, most))
                    excess.end()
            await asyncio.sleep(LOOK_S)


@dataclass(frozen=True, slots=True)
class Excess:
    """A session that takes more than it may: so many bytes, and the processes to kill."""

    leader: int
    used: int
    pids: tuple[int, ...]

    def end(self) -> None:
        """Kill them."""
        for pid in self.pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def excesses(limits: dict[int, int]) -> list[Excess]:
    """The sessions that take more than *limits* say (by leader, in bytes)."""
    taken: dict[int, list[tuple[int, int]]] = {leader: [] for leader in limits}
    processes = list(_processes())
    # What a supervisor has started leads a session of its own.
    leaders = {leader: leader for leader in limits}
    leaders |= {session: parent for _, parent, session, _ in processes if parent in limits and session not in limits}
    for pid, _, session, resident in processes:
        if session in leaders:
            taken[leaders[session]].append((pid, resident))
    found = []
    for leader, members in taken.items():
        if sum(resident for _, resident in members) <= limits[leader]:
            continue
        # Shared pages were counted for each process; now each has its part.
        used = sum(_proportional(pid, resident) for pid, resident in members)
        if used > limits[leader]:
            # A supervisor stays: it ends when nothing that it watches over is left.
            supervised = is_supervisor(psutil.Process(leader)) if psutil.pid_exists(leader) else False
            found.append(Excess(leader, used, tuple(pid for pid, _ in members if pid != leader or not supervised)))
    return found


def _processes() -> Iterable[tuple[int, int, int, int]]:
    """Every process: its number, its parent, its session, its resident bytes."""
    for entry in os.scandir(_PROC):
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, ValueError, IndexError):
                stat = Path(entry.path, "stat").read_bytes()
                fields = stat[stat.rindex(b")") + 2 :].split()
                yield int(entry.name), int(fields[_PARENT]), int(fields[_SESSION]), int(fields[_RESIDENT]) * _PAGE


def _proportional(pid: int, resident: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return resident
