"""Matching: right workers, right order, never too much."""

from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.matching import Candidate, Free, Group, TaskClass, eligible, offers, place
from coordinator.domain.planning import plan
from coordinator.domain.worker import Connection, Duty, Worker, takes_work


def a_worker(name: str = "node-1", **fields: object) -> Worker:
    defaults: dict[str, object] = {
        "connection": Connection.ONLINE,
        "duty": Duty.AWAKE,
        "epoch": 1,
        "instance": uuid4(),
        "kinds": ["echo"],
        "queues": ["default"],
        "slots": 4,
        "cpus": 4.0,
        "memory_mb": 4096,
    }
    return Worker(id=name, **(defaults | fields))  # type: ignore[arg-type]


def a_class(number: int = 1, **fields: object) -> TaskClass:
    defaults: dict[str, object] = {
        "queue": "default",
        "kind": "echo",
        "tags": frozenset(),
        "labels": frozenset(),
        "zone": None,
        "slots": 1,
        "cpus": 0.0,
        "memory_mb": 0,
        "gpus": 0,
    }
    return TaskClass(id=number, **(defaults | fields))  # type: ignore[arg-type]


def a_task(number: int, class_id: int = 1, *, job: int = 50, priority: int = 50, failed_on: str = "") -> Candidate:
    return Candidate(number, class_id, job, priority, frozenset(failed_on.split()))


def placed(workers: list[Worker], classes: list[TaskClass], tasks: list[Candidate]) -> list[tuple[str, int]]:
    by_id = {need.id: need for need in classes}
    offered = offers(((one, Free.of(one, {}, by_id)) for one in workers), classes)
    return [(worker.id, task.task_id) for worker, task in place(offered, tasks, workers)]


def test_job_priority_comes_before_task_priority_before_age() -> None:
    tasks = [a_task(1), a_task(2, priority=90), a_task(3, job=60), a_task(4, job=60, priority=51)]

    assert [task for _, task in placed([a_worker()], [a_class()], tasks)] == [4, 3, 2, 1]


def test_a_worker_serves_its_queues_in_order_whatever_the_priorities() -> None:
    classes = [a_class(1, queue="late"), a_class(2, queue="first")]
    tasks = [a_task(1, 1, job=100), a_task(2, 2, job=0)]

    assert placed([a_worker(queues=["first", "late"], slots=1)], classes, tasks) == [("node-1", 2)]


def test_work_spreads_over_the_workers_with_most_free_slots() -> None:
    workers = [a_worker("a", slots=1), a_worker("b", slots=3)]

    assert placed(workers, [a_class()], [a_task(n) for n in (1, 2, 3)]) == [("b", 1), ("b", 2), ("a", 3)]


def test_kind_tag_label_zone_and_size_must_fit() -> None:
    worker = a_worker(tags=["linux"], labels=["a100"], zone="east")

    assert eligible(worker, a_class(tags=frozenset({"linux"}), labels=frozenset({"a100"}), zone="east"))
    assert not eligible(worker, a_class(kind="render"))
    assert not eligible(worker, a_class(tags=frozenset({"windows"})))
    assert not eligible(worker, a_class(labels=frozenset({"linux"})))
    assert not eligible(worker, a_class(zone="west"))
    assert not eligible(worker, a_class(memory_mb=4097))
    assert not eligible(worker, a_class(gpus=1))


def test_a_task_goes_elsewhere_after_a_failure_while_another_can_run_it() -> None:
    task = [a_task(1, failed_on="a")]

    assert placed([a_worker("a"), a_worker("b", slots=1)], [a_class()], task) == [("b", 1)]
    assert placed([a_worker("a")], [a_class()], task) == [("a", 1)]
    assert placed([a_worker("a"), a_worker("b", kinds=["render"])], [a_class()], task) == [("a", 1)]


def test_a_task_waits_for_the_other_worker_when_that_one_is_only_busy() -> None:
    first, busy = a_worker("a"), a_worker("b")
    offered = offers([(first, Free.of(first, {}, {}))], [a_class()])

    assert place(offered, [a_task(1, failed_on="a"), a_task(2)], [first, busy])[0][1].task_id == 2


def test_nobody_gets_work_who_does_not_take_it() -> None:
    for worker in (
        a_worker(connection=Connection.SUSPECT),
        a_worker(connection=Connection.LOST),
        a_worker(duty=Duty.DRAINING),
        a_worker(duty=Duty.ASLEEP),
        a_worker(requested_state="drain"),
    ):
        assert not takes_work(worker)
        assert placed([worker], [a_class()], [a_task(1)]) == []


WORKERS = st.lists(
    st.builds(
        lambda name, slots, cpus, memory, queues: a_worker(
            name, slots=slots, cpus=float(cpus), memory_mb=memory, queues=queues
        ),
        st.uuids().map(str),
        st.integers(1, 8),
        st.integers(0, 8),
        st.integers(0, 4096),
        st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=3, unique=True),
    ),
    max_size=5,
)
CLASSES = [
    a_class(1, queue="x"),
    a_class(2, queue="y", slots=2),
    a_class(3, queue="x", cpus=1.5),
    a_class(4, queue="z", memory_mb=1500, slots=3),
]
TASKS = st.lists(
    st.builds(
        lambda class_id, job, priority: (class_id, job, priority),
        st.integers(1, 4),
        st.integers(0, 2),
        st.integers(0, 2),
    ),
    max_size=40,
)


@given(WORKERS, TASKS)
def test_capacity_is_never_exceeded_and_nothing_placeable_is_left(
    workers: list[Worker], drawn: list[tuple[int, int, int]]
) -> None:
    tasks = [a_task(n, c, job=j, priority=p) for n, (c, j, p) in enumerate(drawn, 1)]
    by_id = {need.id: need for need in CLASSES}
    offered = offers(((one, Free.of(one, {}, by_id)) for one in workers), CLASSES)

    pairs = place(offered, tasks, workers)

    held: dict[str, dict[int, int]] = {worker.id: {} for worker in workers}
    for worker, task in pairs:
        assert eligible(worker, by_id[task.class_id])
        held[worker.id][task.class_id] = held[worker.id].get(task.class_id, 0) + 1
    assert len({task.task_id for _, task in pairs}) == len(pairs)
    rest = [task for task in tasks if task.task_id not in {one.task_id for _, one in pairs}]
    for worker in workers:
        free = Free.of(worker, held[worker.id], by_id)
        assert min(free.slots, free.cpus, free.memory_mb, free.gpus) >= 0
        assert not any(eligible(worker, by_id[t.class_id]) and free.fits(by_id[t.class_id]) for t in rest)


@given(WORKERS, TASKS)
def test_no_task_is_passed_over_for_a_lesser_one_of_its_class(
    workers: list[Worker], drawn: list[tuple[int, int, int]]
) -> None:
    tasks = [a_task(n, c, job=j, priority=p) for n, (c, j, p) in enumerate(drawn, 1)]
    by_id = {need.id: need for need in CLASSES}
    offered = offers(((one, Free.of(one, {}, by_id)) for one in workers), CLASSES)
    pairs = place(offered, tasks, workers)
    for number in by_id:
        taken = [task.rank for _, task in pairs if task.class_id == number]
        left = [t.rank for t in tasks if t.class_id == number and t.rank not in taken]
        assert not (taken and left) or max(taken) < min(left)


def test_groups_are_looked_at_by_whole_bands_of_job_priority() -> None:
    worker = a_worker(slots=3)
    offered = offers([(worker, Free.of(worker, {}, {}))], [a_class()])
    groups = [Group(1, 1, 1, 50, 2), Group(2, 2, 1, 80, 1), Group(3, 3, 1, 50, 9), Group(4, 4, 1, 10, 9)]

    assert plan(groups, offered).looks == {2: 1, 1: 2, 3: 3}


def test_a_worker_that_is_tested_takes_only_what_names_it() -> None:
    tested, other = a_worker("a", duty=Duty.TESTING), a_worker("b")
    classes = [a_class(1), a_class(2, labels=frozenset({"worker:a"}))]

    assert placed([tested], classes, [a_task(1), a_task(2, 2)]) == [("a", 2)]
    assert placed([other], classes, [a_task(1), a_task(2, 2)]) == [("b", 1)], "a name is nobody else's label"
    assert placed([a_worker("a")], classes, [a_task(2, 2)]) == [("a", 2)], "also when it is awake"
