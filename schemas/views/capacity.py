"""What the farm has too little of and what it could spare, for people and for what starts and stops machines.

The fields are stable: fields may be added, none will change its meaning.
"""

from datetime import datetime

from schemas.views.base import View


class WantedView(View):
    """Workers that waiting tasks with these requirements could use.

    A worker for them serves `queue`, offers `kind`, is in `zone` (null: anywhere), has all `tags`, is approved for all
    `labels`, and has at least room for one task: `slots`, `cpus`, `memory_mb`, `gpus`. `waiting` such tasks may run as
    far as pauses and limits go, `starting` of them find room now; the rest would fill `workers` more workers, each with
    `per_worker` tasks. `capable` workers of the farm could run them at all (busy, asleep or gone included); those in
    `asleep` could be woken instead.
    """

    queue: str
    kind: str
    zone: str | None
    tags: list[str]
    labels: list[str]
    slots: int
    cpus: float
    memory_mb: int
    gpus: int
    waiting: int
    starting: int
    per_worker: int
    workers: int
    capable: int
    asleep: list[str]


class CapacityView(View):
    """`wanted`: what could be used, the most first. `stoppable`: workers that could be stopped, all of them together;
    ask them before (`farmhand workers sleep`, which waits for what they hold). `at`: when this was so."""

    at: datetime
    wanted: list[WantedView]
    stoppable: list[str]
