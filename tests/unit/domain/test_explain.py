"""Why: every rule has its line, and nothing is against it exactly when the next assignment would place the task."""

from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.domain.explain import against, explain
from coordinator.domain.lanes import Candidate
from coordinator.domain.matching import Free, Group, TaskClass, offers, place
from coordinator.domain.planning import plan
from coordinator.domain.reason import Kind, Reason
from coordinator.domain.why import LINES, STAGES
from coordinator.domain.worker import Connection, Duty, Worker
from tests.support.chance import examples
from tests.unit.domain.test_matching import a_class, a_worker

#: Mostly all; sometimes too little, or not said.
SERVED = st.sampled_from([None, ["a", "b"], ["a", "b"], ["a", "b"], ["a"], []])
WORDS = st.frozensets(st.sampled_from(["a", "b"]), max_size=2)


def workers(most: int = 5) -> st.SearchStrategy[list[Worker]]:
    """Farms on which everything may be wrong."""
    one = st.builds(
        lambda number, **fields: a_worker(f"node-{number}", **fields),
        st.integers(1, 99),
        connection=st.sampled_from([Connection.ONLINE] * 3 + list(Connection)),
        duty=st.sampled_from([Duty.AWAKE] * 5 + list(Duty)),
        requested_state=st.sampled_from([None, None, "awake", "drain"]),
        kinds=WORDS.map(sorted),
        queues=WORDS.map(sorted),
        tags=WORDS.map(sorted),
        labels=WORDS.map(sorted),
        zone=st.sampled_from(["a", "b"]),
        slots=st.integers(1, 3),
        cpus=st.integers(0, 3).map(float),
        memory_mb=st.integers(0, 2),
        supervises=st.sampled_from([["a", "b"], ["a", "b"], ["a"], []]),
        runners=SERVED,
        secrets=SERVED,
        enforces=SERVED,
    )
    return st.lists(one, max_size=most, unique_by=lambda worker: worker.id)


CLASSES = st.builds(
    a_class,
    st.just(1),
    queue=st.sampled_from(["a", "b"]),
    kind=st.sampled_from(["a", "b"]),
    tags=st.one_of(st.just(frozenset()), WORDS),
    labels=st.one_of(st.just(frozenset()), WORDS),
    zone=st.sampled_from([None, None, "a"]),
    slots=st.integers(1, 2),
    cpus=st.integers(0, 2).map(float),
    memory_mb=st.integers(0, 1),
    exclusive=st.one_of(st.just(frozenset()), WORDS),
    runners=WORDS,
    secrets=st.one_of(st.just(frozenset()), WORDS),
    limits=st.one_of(st.just(frozenset()), WORDS),
)
HELD = a_class(2, slots=1, cpus=1.0)


def farm(some: list[Worker], holding: list[int]) -> list[tuple[Worker, Free]]:
    """Workers that hold so many tasks."""
    held = [min(count, worker.slots) for worker, count in zip(some, [*holding, *[0] * len(some)], strict=False)]
    return [(worker, Free.of(worker, {2: count}, {2: HELD})) for worker, count in zip(some, held, strict=True)]


def next_assignment(some: list[tuple[Worker, Free]], need: TaskClass, task: Candidate, group: Group) -> bool:
    """Whether the very functions that assign would place the task."""
    copied = [(worker, Free(free.slots, free.cpus, free.memory_mb, free.gpus)) for worker, free in some]
    offered = offers(copied, [need])
    if not plan([group], offered).looks:
        return False
    return bool(place(offered, [task], [worker for worker, _ in some], [group]))


@settings(max_examples=examples(1.5))
@given(workers(), CLASSES, st.lists(st.integers(0, 3), max_size=5), st.data())
def test_there_is_no_reason_exactly_when_the_next_assignment_would_place_the_task(
    some: list[Worker], need: TaskClass, holding: list[int], data: st.DataObject
) -> None:
    pairs = farm(some, holding)
    names = [worker.id for worker in some]
    failed_on = data.draw(st.frozensets(st.sampled_from(names))) if names else frozenset()
    blocked = data.draw(st.frozensets(st.sampled_from(names))) if names else frozenset()
    group = Group(1, 1, 1, 50, 1, blocked=blocked)
    task = Candidate(1, 1, 50, 50, failed_on, 1)

    found = explain(need, pairs, failed_on=failed_on, blocked=blocked, facts={"task": 1, "job": 1})

    assert (not found.reasons) == next_assignment(pairs, need, task, group)
    assert [one.reason for one in found.reasons] == sorted((one.reason for one in found.reasons), key=lambda r: r.place)
    assert all(one.sentence and "{" not in one.sentence + one.remedy for one in found.reasons)
    for worker, free in pairs:
        alone = not tuple(against(worker, free, need, failed_on, some, blocked))
        others = [(w, f if w is worker else Free(0, 0, 0, 0)) for w, f in pairs]
        assert alone == next_assignment(others, need, task, group), worker


@given(workers(), CLASSES, st.lists(st.integers(0, 3), max_size=5))
def test_the_funnel_only_narrows_and_ends_with_those_that_are_able(
    some: list[Worker], need: TaskClass, holding: list[int]
) -> None:
    pairs = farm(some, holding)

    found = explain(need, pairs)

    counts = [step.workers for step in found.funnel]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == found.able == sum(not tuple(against(*pair, need, (), some)) for pair in pairs)
    assert len({step.words for step in found.funnel}) == len(found.funnel)
    assert all(near.reasons for near in found.nearest)
    if found.nearest:
        least = min(len(tuple(against(*pair, need, (), some))) or 99 for pair in pairs)
        assert len(found.nearest[0].reasons) == least


def test_every_reason_against_a_worker_is_a_stage_and_no_other() -> None:
    first, last = Reason.NO_QUEUE.place, Reason.RESOURCES.place

    assert set(STAGES) == {reason for reason in Reason if first <= reason.place <= last}
    assert [reason.place for reason in STAGES] == sorted(reason.place for reason in STAGES)
    assert all((LINES[reason].kind is Kind.NEVER) == (reason.place < Reason.GONE.place) for reason in STAGES)


def test_it_reads_like_this() -> None:
    need = a_class(queue="gpu", kind="blender", tags=frozenset({"gpu:a100"}), slots=2)
    some = [
        *(a_worker(f"cpu-{n}", queues=["default"], kinds=["echo"]) for n in range(3)),
        *(a_worker(f"gpu-{n}", queues=["gpu"], kinds=["blender"]) for n in range(2)),
        a_worker("gpu-8", queues=["gpu"], kinds=["blender"], tags=["gpu:a100"], duty=Duty.ASLEEP),
        a_worker("gpu-9", queues=["gpu"], kinds=["blender"], tags=["gpu:a100"]),
    ]

    found = explain(need, [(one, Free(1 if one.id == "gpu-9" else 4, 4.0, 4096, 0)) for one in some])

    assert [f"{step.workers} {step.words}" for step in found.funnel] == [
        "4 serve queue gpu", "4 offer kind blender", "2 have tag gpu:a100", "2 are online", "1 are awake",
        "0 have 2 slots free",
    ]  # fmt: skip
    assert [one.sentence for one in found.reasons] == [
        "1 worker could run it but is asleep.",
        "All slots of 1 worker that could run it are in use.",
    ]
    assert [(near.worker, near.lacks) for near in found.nearest] == [
        ("gpu-8", ("is asleep",)),
        ("gpu-9", ("has 1 of 4 slots free",)),
        ("gpu-0", ("lacks tag gpu:a100",)),
    ]
