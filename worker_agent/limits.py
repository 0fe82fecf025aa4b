"""How much of the machine a task's processes get: priority, and memory that is counted and enforced.

Memory is limited by the kernel where the agent has a part of the cgroup tree (v2) for its own, as systemd delegates it;
elsewhere somebody looks twice a second and ends what has grown too large. An address-space limit would be simpler and
wrong: many programs reserve far more than they use.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from schemas.task import Limits, Resources
from worker_agent.supervision import is_supervisor

LOOK_S: Final = 0.5
MIB: Final = 1024 * 1024
_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_PROC: Final = Path("/proc")
#: Of what stands behind the name in /proc/PID/stat: the session, and the resident pages.
_SESSION, _RESIDENT = 3, 21

OnExcess = Callable[[str], None]


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


def settle(pid: int, caps: Caps) -> None:
    """Give the new session of *pid* its place. What is not allowed here is left as it is: these are no promises."""
    with contextlib.suppress(OSError):
        if caps.nice > os.getpriority(os.PRIO_PROCESS, pid):
            os.setpriority(os.PRIO_PGRP, pid, caps.nice)
    with contextlib.suppress(OSError, ValueError):
        path = _PROC / str(pid) / "oom_score_adj"
        if caps.oom_score > int(path.read_text()):
            path.write_text(str(caps.oom_score))
    if caps.idle_io:
        with contextlib.suppress(psutil.Error, AttributeError, OSError):
            psutil.Process(pid).ionice(psutil.IOPRIO_CLASS_IDLE)


def in_words(used: int, most: int) -> str:
    """Why a task was ended."""
    return f"it took {used // MIB} MiB of memory, more than the {most // MIB} allowed"


class Limiter:
    """Gives processes their place, and keeps them within their memory: by the kernel if it can be, else by looking."""

    def __init__(self, cgroup: Path | None) -> None:
        self._watch = Watch()
        self._groups = Cgroups.found(cgroup)
        #: How memory is limited here.
        self.words = f"by the kernel, in {self._groups.base}" if self._groups else "looked at twice a second"

    async def run(self) -> None:
        """For ever."""
        await self._watch.run()

    def hold(self, pid: int, caps: Caps, on_excess: OnExcess) -> None:
        """The session of *pid* begins; *on_excess* hears of it when it was ended for the memory that it took."""
        settle(pid, caps)
        if caps.memory_bytes is None:
            return
        if self._groups is not None:
            with contextlib.suppress(OSError):
                self._groups.hold(pid, caps.memory_bytes, on_excess)
                return
        self._watch.hold(pid, caps.memory_bytes, on_excess)

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
            for pid, used in (await asyncio.to_thread(kill_excess, limits)).items():
                if pid in self._held:
                    most, on_excess = self._held[pid]
                    on_excess(in_words(used, most))
            await asyncio.sleep(LOOK_S)


def kill_excess(limits: dict[int, int]) -> dict[int, int]:
    """Kill the sessions that take more than *limits* say (by leader, in bytes); what those took."""
    taken: dict[int, list[tuple[int, int]]] = {leader: [] for leader in limits}
    for pid, session, resident in _processes():
        if session in taken:
            taken[session].append((pid, resident))
    killed = {}
    for leader, processes in taken.items():
        if sum(resident for _, resident in processes) <= limits[leader]:
            continue
        # Shared pages were counted for each process; now each has its part.
        used = sum(_proportional(pid, resident) for pid, resident in processes)
        if used > limits[leader]:
            # A supervisor stays: it ends when nothing that it watches over is left.
            supervised = is_supervisor(psutil.Process(leader)) if psutil.pid_exists(leader) else False
            for pid, _ in processes:
                if pid != leader or not supervised:
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGKILL)
            killed[leader] = used
    return killed


def _processes() -> Iterable[tuple[int, int, int]]:
    """Every process: its number, its session, its resident bytes."""
    for entry in os.scandir(_PROC):
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, ValueError, IndexError):
                stat = Path(entry.path, "stat").read_bytes()
                fields = stat[stat.rindex(b")") + 2 :].split()
                yield int(entry.name), int(fields[_SESSION]), int(fields[_RESIDENT]) * _PAGE


def _proportional(pid: int, resident: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return resident


# --- by the kernel ---------------------------------------------------------------------------------------------


class Cgroups:
    """A group of its own for each limited process, below *base*, which is the agent's own."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self._held: dict[int, tuple[int, OnExcess]] = {}
        self._left: list[Path] = []

    @classmethod
    def found(cls, given: Path | None) -> "Cgroups | None":
        """In *given*, or where systemd has delegated (`Delegate=`); None where neither is, or it cannot be used."""
        base = given or _delegated()
        if base is None:
            return None
        try:
            # The kernel lets no group have both processes and limited children: ours move aside.
            (base / "agent").mkdir(exist_ok=True)
            (base / "agent" / "cgroup.procs").write_text(str(os.getpid()))
            (base / "cgroup.subtree_control").write_text("+memory")
        except OSError:
            return None
        return cls(base)

    def hold(self, pid: int, most: int, on_excess: OnExcess) -> None:
        """Move *pid* into a group with this limit. Swapping is no way around it; it ends as a whole. Raises OSError."""
        group = self._group(pid)
        group.mkdir(exist_ok=True)
        (group / "memory.max").write_text(str(most))
        for name, value in (("memory.swap.max", 0), ("memory.oom.group", 1)):
            with contextlib.suppress(FileNotFoundError):
                (group / name).write_text(str(value))
        (group / "cgroup.procs").write_text(str(pid))
        self._held[pid] = (most, on_excess)

    def release(self, pid: int) -> None:
        """Say whether the kernel had to end it; take the group away."""
        most, on_excess = self._held.pop(pid, (0, None))
        if on_excess is None:
            return
        group = self._group(pid)
        with contextlib.suppress(OSError, ValueError):
            events = dict(line.split() for line in (group / "memory.events").read_text().splitlines())
            if int(events.get("oom_kill", 0)):
                on_excess(f"it took more than the {most // MIB} MiB of memory allowed")
        with contextlib.suppress(OSError):
            (group / "cgroup.kill").write_text("1")
        self._left.append(group)
        self._left = [group for group in self._left if not _removed(group)]

    def _group(self, pid: int) -> Path:
        return self.base / f"task-{pid}"


def _delegated() -> Path | None:
    with contextlib.suppress(OSError, AttributeError):
        for line in (_PROC / "self" / "cgroup").read_text().splitlines():
            if line.startswith("0::/"):
                base = Path("/sys/fs/cgroup") / line[len("0::/") :]
                if os.getxattr(base, "user.delegate") == b"1":
                    return base
    return None


def _removed(group: Path) -> bool:
    """What has only just been killed is in the way for a moment: then the next time."""
    try:
        group.rmdir()
    except OSError:
        return not group.is_dir()
    return True
