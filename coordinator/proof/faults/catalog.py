"""The faults, as data: what is done, how it is called in the report, and how often in a full proof."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from coordinator.proof.faults import doings
from coordinator.proof.faults.doings import Doing
from coordinator.proof.proxy import Way


@dataclass(frozen=True)
class Fault:
    """One fault. `short`: in `make faults-short`; `first`: in `make test`, too. A run must recover in `patience_s`."""

    name: str
    do: Doing
    runs: int
    short: bool = False
    first: bool = False
    patience_s: float = 90.0


def _ways(kind: str, way: str) -> Iterator[Fault]:
    """What can happen to the connections between one of a *kind* and the broker or the database."""
    label = f"{kind} to {way}"
    yield Fault(f"{label}: reset", doings.reset(kind, way), 8, short=True, first=kind == "agent")
    yield Fault(f"{label}: black hole for 3 s", doings.black_hole(kind, way, 3), 6, short=kind == "agent")
    yield Fault(f"{label}: half open, server gone", doings.half_open(kind, way, Way.UP), 3)
    yield Fault(f"{label}: half open, client gone", doings.half_open(kind, way, Way.DOWN), 3)
    yield Fault(f"{label}: 0.1 s late for 3 s", doings.slow(kind, way, 3), 4)
    yield Fault(f"{label}: cut after some bytes", doings.cut_after(kind, way, 3000), 8, short=kind == "coordinator")


FAULTS: Final = (
    Fault("nothing, to compare with", doings.nothing, 10, short=True),
    # agents and what they run
    Fault("agent killed with its tasks", doings.killed("agent"), 10, short=True, first=True),
    Fault("agent killed, its tasks left running", doings.killed("agent", tasks=False), 10, short=True),
    Fault("agent ended and started", doings.ended("agent"), 8),
    Fault("agent stopped for 3 s", doings.stopped("agent", 3), 8, short=True),
    Fault("agent and its tasks stopped for 3 s", doings.stopped("agent", 3, tasks=True), 6),
    Fault("agent stopped for 40 s", doings.stopped("agent", 40), 3),
    Fault("agent and its tasks stopped for 40 s", doings.stopped("agent", 40, tasks=True), 3),
    Fault("agent killed for good, another one comes", doings.replaced, 3),
    Fault("processes of tasks killed", doings.bereft(supervisors=False), 8, short=True),
    Fault("supervisors of exclusive tasks killed", doings.bereft(supervisors=True), 8, short=True),
    # coordinators
    Fault("one of two coordinators killed", doings.killed("coordinator"), 10, short=True, first=True),
    Fault("all coordinators killed", doings.killed("coordinator", all_=True), 8, short=True),
    Fault("a coordinator killed every 5 s for two minutes, under load",
          doings.killed_again_and_again(5, 24, before_s=30), 1),
    Fault("one of two coordinators ended and started", doings.ended("coordinator"), 6),
    Fault("one of two coordinators stopped for 3 s", doings.stopped("coordinator", 3), 6, short=True),
    Fault("one of two coordinators stopped for 15 s", doings.stopped("coordinator", 15), 4),
    Fault("a coordinator stopped inside a transaction for 2 s", doings.stopped_inside(b"BEGIN", 2), 6, short=True),
    Fault("a coordinator stopped inside a transaction for 8 s", doings.stopped_inside(b"BEGIN", 8), 5),
    Fault("a coordinator stopped while it commits for 8 s", doings.stopped_inside(b"COMMIT", 8), 5),
    Fault("all coordinators stopped for 7 s", doings.stopped("coordinator", 7, all_=True), 4),
    # the broker
    Fault("broker killed", doings.broker_killed, 8, short=True),
    Fault("broker restarted", doings.broker_restarted, 6),
    Fault("broker killed, back with an empty data directory", doings.broker_emptied, 6, short=True),
    Fault("all connections closed by the broker",
          doings.broker_told("close_all_connections", "a test of faults"), 8, short=True),
    Fault("one worker's queue deleted", doings.queues_deleted(one_worker=True), 8, short=True),
    Fault("all queues deleted", doings.queues_deleted(one_worker=False), 8, short=True, first=True),
    Fault("broker short of memory for 3 s",
          doings.broker_told("set_vm_memory_high_watermark", "absolute", "1",
                             then=("set_vm_memory_high_watermark", "0.4"), seconds=3), 5, short=True),
    Fault("broker short of disk for 3 s",
          doings.broker_told("set_disk_free_limit", "10000GB", then=("set_disk_free_limit", "50MB"), seconds=3), 5),
    # the database
    Fault("database killed", doings.database_killed, 8, short=True),
    Fault("database restarted", doings.database_restarted, 6),
    Fault("connections ended by the database", doings.backends_ended, 10, short=True, first=True),
    Fault("a backend of the database killed", doings.backend_killed, 8, short=True),
    Fault("database read-only for 3 s", doings.read_only(3), 6, short=True),
    Fault("tasks locked for 4 s", doings.locked(4), 6),
    Fault("tasks locked for 30 s", doings.locked(30), 3),
    Fault("cut during COMMIT, which happens", doings.cut_at_commit(delivered=True), 10, short=True, first=True),
    Fault("cut during COMMIT, which does not happen", doings.cut_at_commit(delivered=False), 10, short=True),
    # the ways between them
    *_ways("agent", "broker"),
    *_ways("coordinator", "broker"),
    *_ways("coordinator", "database"),
)  # fmt: skip
