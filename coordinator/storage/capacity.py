"""What the farm has too little of and what it could spare, from one snapshot, by the rules that assign."""

from collections import Counter

from coordinator.domain import capacity
from coordinator.storage.explaining import WHY, Snapshot
from schemas.views import CapacityView, WantedView


async def look(farm: Snapshot) -> CapacityView:
    """What could be used, and who could be stopped."""
    groups, _, budgets, _ = await farm.survey()
    waiting = capacity.demand(groups, budgets)
    starting = Counter(attempt.class_id for attempt in await farm.next_attempts()) if waiting else Counter[int]()
    unfinished = {row["class_id"] for row in await farm.connection.fetch(WHY["unfinished_classes"])}
    classes = await farm.classes(unfinished | waiting.keys())
    workers = [worker for worker, _ in await farm.workers()]
    return CapacityView(
        at=farm.now,
        wanted=[
            WantedView(
                queue=one.need.queue,
                kind=one.need.kind,
                zone=one.need.zone,
                tags=sorted(one.need.tags),
                labels=sorted(one.need.labels),
                slots=one.need.slots,
                cpus=one.need.cpus,
                memory_mb=one.need.memory_mb,
                gpus=one.need.gpus,
                waiting=one.waiting,
                starting=one.starting,
                per_worker=one.per_worker,
                workers=one.workers,
                capable=one.capable,
                asleep=list(one.asleep),
            )
            for one in capacity.wanted(waiting, starting, classes, workers)
        ],
        stoppable=capacity.stoppable(
            await farm.idle(), workers, [classes[one] for one in unfinished], [classes[one] for one in waiting]
        ),
    )
