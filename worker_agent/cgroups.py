"""Memory that the kernel limits: a control group for each limited process, where the agent has a part of the tree
(version 2) for its own, as systemd delegates it."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

MIB: Final = 1024 * 1024

OnExcess = Callable[[str], None]


class Cgroups:
    """A group of its own for each limited process, below *base*, which is the agent's own."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self._held: dict[int, tuple[Path, int, OnExcess]] = {}
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
        """Move *pid* into a group with this limit. Raises OSError."""
        group = self.make(f"task-{pid}", most)
        (group / "cgroup.procs").write_text(str(pid))
        self.keep(pid, group, most, on_excess)

    def make(self, name: str, most: int) -> Path:
        """A group with this limit. Swapping is no way around it; it ends as a whole. Raises OSError."""
        group = self.base / name
        group.mkdir(exist_ok=True)
        (group / "memory.max").write_text(str(most))
        for file, value in (("memory.swap.max", 0), ("memory.oom.group", 1)):
            with contextlib.suppress(FileNotFoundError):
                (group / file).write_text(str(value))
        return group

    def keep(self, pid: int, group: Path, most: int, on_excess: OnExcess) -> None:
        """What *pid* leads is in *group* until its end."""
        self._held[pid] = (group, most, on_excess)

    def release(self, pid: int) -> None:
        """Say whether the kernel had to end it; take the group away."""
        held = self._held.pop(pid, None)
        if held is None:
            return
        group, most, on_excess = held
        with contextlib.suppress(OSError, ValueError):
            events = dict(line.split() for line in (group / "memory.events").read_text().splitlines())
            if int(events.get("oom_kill", 0)):
                on_excess(f"it took more than the {most // MIB} MiB of memory allowed")
        with contextlib.suppress(OSError):
            (group / "cgroup.kill").write_text("1")
        self._left.append(group)
        self._left = [group for group in self._left if not _removed(group)]


def _delegated() -> Path | None:
    with contextlib.suppress(OSError, AttributeError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
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
