"""Limits and fair share: never exceeded, never idle for nothing, nobody starves."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.domain.budget import Budgets, Hold, Key, Rules, Scope, Shares
from coordinator.domain.matching import Candidate, Free, Group, TaskClass, eligible, offers, place
from coordinator.domain.planning import plan
from coordinator.domain.reason import Reason
from coordinator.domain.worker import Worker
from tests.support.chance import examples
from tests.unit.domain.test_matching import a_class, a_worker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SUBMITTERS = ["ana", "ben", "cyd"]
CLASSES = {
    need.id: need
    for need in (
        a_class(1, queue="x"),
        a_class(2, queue="x", kind="render", slots=2),
        a_class(3, queue="y", licenses=(("houdini", 1),)),
        a_class(4, queue="y", kind="render", licenses=(("houdini", 2), ("nuke", 1))),
    )
}
LIMITED: list[Key] = [
    (Scope.JOB, "1"),
    (Scope.JOB, "2"),
    (Scope.QUEUE, "x"),
    (Scope.QUEUE, "y"),
    (Scope.KIND, "render"),
    (Scope.SUBMITTER, "ana"),
    (Scope.SUBMITTER, "ben"),
    (Scope.LICENSE, "houdini"),
    (Scope.LICENSE, "nuke"),
]


def counted(need: TaskClass, job: int, submitter: str) -> list[tuple[Key, int]]:
    """All that a task counts for."""
    return [((Scope.JOB, str(job)), 1), *need.counted(submitter)]


class Simulated:
    """A farm in memory: groups with ready tasks, workers, and what is held; `step` is one pass of assignment."""

    def __init__(self, rules: Rules, workers: list[Worker], drawn: list[tuple[int, str, int, int]]) -> None:
        self.rules = rules
        self.workers = workers
        self.held: Counter[tuple[str, int]] = Counter()  # worker, group
        self.groups: dict[int, Group] = {}
        self.ready: dict[int, list[int]] = {}
        self.turns: dict[tuple[str, str], int] = {}
        task = 0
        for number, (class_id, submitter, priority, count) in enumerate(drawn, 1):
            claims = rules.claims(counted(CLASSES[class_id], number, submitter))
            self.groups[number] = Group(number, number, class_id, priority, count, submitter=submitter, claims=claims)
            self.ready[number] = list(range(task + 1, task + count + 1))
            task += count

    def need(self, group: int) -> TaskClass:
        return CLASSES[self.groups[group].class_id]

    def used(self) -> Counter[Key]:
        """What is in use of everything that could be limited, counted from what is held."""
        used: Counter[Key] = Counter()
        for (_, group), count in self.held.items():
            for key, amount in counted(self.need(group), group, self.groups[group].submitter):
                used[key] += amount * count
        return used

    def slots(self) -> Counter[tuple[str, str]]:
        """Slots held by queue and submitter."""
        slots: Counter[tuple[str, str]] = Counter()
        for (_, group), count in self.held.items():
            slots[self.need(group).queue, self.groups[group].submitter] += self.need(group).slots * count
        return slots

    def free(self, worker: Worker) -> Free:
        load = Counter[int]()
        for (name, group), count in self.held.items():
            if name == worker.id:
                load[self.groups[group].class_id] += count
        return Free.of(worker, load, CLASSES)

    def step(self) -> list[tuple[str, int]]:
        """One pass of assignment: worker and group of each task that it gave away, in order."""
        budgets = Budgets(self.rules.limits, self.used())
        groups = [
            replace(group, ready=len(self.ready[group.id])) for group in self.groups.values() if self.ready[group.id]
        ]
        offered = offers([(worker, self.free(worker)) for worker in self.workers], CLASSES.values())
        looks = plan(groups, offered, budgets, fair=self.rules.fair).looks
        candidates = [
            Candidate(task, self.groups[g].class_id, self.groups[g].job_priority, 50, group_id=g)
            for g, count in looks.items()
            for task in self.ready[g][:count]
        ]
        shares = Shares(self.rules.weights, self.slots(), self.turns) if self.rules.fair else None
        pairs = place(offered, candidates, self.workers, groups, budgets, shares)
        self.turns |= shares.served if shares else {}
        for worker, candidate in pairs:
            self.held[worker.id, candidate.group_id] += 1
            self.ready[candidate.group_id].remove(candidate.task_id)
        return [(worker.id, candidate.group_id) for worker, candidate in pairs]

    def end(self, held: tuple[str, int]) -> None:
        """One attempt of a group on a worker has ended."""
        self.held[held] -= 1
        self.held = +self.held


RULES = st.builds(
    lambda limits, weights, fair: Rules(limits, {}, weights, fair),
    st.dictionaries(st.sampled_from(LIMITED), st.integers(0, 6)),
    st.dictionaries(st.sampled_from(SUBMITTERS), st.sampled_from([0.5, 1.0, 2.0])),
    st.booleans(),
)
FARM = st.lists(
    st.builds(
        lambda number, slots, kinds, queues: (number, slots, kinds, queues),
        st.integers(1, 9),
        st.integers(1, 6),
        st.lists(st.sampled_from(["echo", "render"]), min_size=1, unique=True),
        st.lists(st.sampled_from(["x", "y"]), min_size=1, unique=True),
    ),
    max_size=4,
    unique_by=lambda drawn: drawn[0],
)
GROUPS = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from(SUBMITTERS), st.sampled_from([40, 50]), st.integers(1, 6)), max_size=8
)


def a_farm(drawn: list[tuple[int, int, list[str], list[str]]]) -> list[Worker]:
    return [a_worker(f"node-{n}", slots=slots, kinds=kinds, queues=queues) for n, slots, kinds, queues in drawn]


@settings(max_examples=examples(0.6))
@given(RULES, FARM, GROUPS, st.data())
def test_no_limit_is_ever_exceeded_and_nothing_assignable_is_left(
    rules: Rules,
    drawn: list[tuple[int, int, list[str], list[str]]],
    groups: list[tuple[int, str, int, int]],
    data: st.DataObject,
) -> None:
    farm = Simulated(rules, a_farm(drawn), groups)
    for _ in range(4):
        while farm.step():
            used = farm.used()
            assert all(used[key] <= total for key, total in rules.limits.items())
            assert all(farm.free(worker).slots >= 0 for worker in farm.workers)
        budgets = Budgets(rules.limits, farm.used())
        for number in (number for number, ready in farm.ready.items() if ready):
            need, claims = farm.need(number), farm.groups[number].claims
            takers = [worker for worker in farm.workers if eligible(worker, need) and farm.free(worker).fits(need)]
            assert not takers or not budgets.met(claims)
        if not farm.held:
            return
        farm.end(data.draw(st.sampled_from(sorted(farm.held))))


@settings(max_examples=examples(0.6))
@given(RULES, FARM, GROUPS, st.sets(st.integers(1, 8)))
def test_what_is_paused_gets_nothing_and_stands_in_nobodys_way(
    rules: Rules,
    drawn: list[tuple[int, int, list[str], list[str]]],
    groups: list[tuple[int, str, int, int]],
    paused: set[int],
) -> None:
    farm, without = Simulated(rules, a_farm(drawn), groups), Simulated(rules, a_farm(drawn), groups)
    for number in paused & farm.groups.keys():
        hold = Hold(Scope.JOB, str(number), "ana", NOW)
        farm.groups[number] = replace(farm.groups[number], hold=hold)
        without.ready[number] = []
    while given_away := farm.step():
        assert given_away == without.step()
        assert not {group for _, group in given_away} & paused
    assert not without.step()
    for number in paused & farm.groups.keys():
        assert len(farm.ready[number]) == farm.groups[number].ready, "all of it still waits"


@settings(max_examples=examples(0.6))
@given(GROUPS)
def test_a_license_without_a_total_has_none_to_give(groups: list[tuple[int, str, int, int]]) -> None:
    farm = Simulated(Rules(), a_farm([(1, 6, ["echo", "render"], ["y"])]), groups)
    farm.step()
    assert not any(farm.need(group).licenses for _, group in +farm.held)


@settings(max_examples=examples(0.6))
@given(
    st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0]), min_size=2, max_size=4),
    st.integers(1, 12),
    st.lists(st.integers(0, 11), max_size=60),
)
def test_by_fair_share_nobody_is_more_than_one_task_ahead_of_another_however_tasks_end(
    weights: list[float], slots: int, ends: list[int]
) -> None:
    """Everybody has more to do than there is room for, and the job of the first is the oldest."""
    names = [f"who-{number}" for number in range(len(weights))]
    weight = dict(zip(names, weights, strict=True))
    worker = a_worker("node-1", slots=slots, queues=["x"])
    farm = Simulated(Rules(weights=weight), [worker], [(1, name, 50, 100) for name in names])
    farm.step()
    for end in [None, *ends]:
        if end is not None:
            farm.end(sorted((+farm.held).elements())[end % slots])
            farm.step()
        held = {name: farm.slots()["x", name] for name in names}
        assert sum(held.values()) == slots
        for one in names:
            for other in names:
                assert (held[one] - 1) / weight[one] <= held[other] / weight[other] + 1e-9


@settings(max_examples=examples(0.6))
@given(st.integers(2, 4), st.integers(1, 6))
def test_by_fair_share_nobody_starves(submitters: int, slots: int) -> None:
    """Tasks of equal length end one by one, the oldest first: all along, each has got within one task of his share."""
    names = [f"who-{number}" for number in range(submitters)]
    worker = a_worker("node-1", slots=slots, queues=["x"])
    farm = Simulated(Rules(), [worker], [(1, name, 50, 200) for name in names])
    running = farm.step()
    for _ in range(20 * submitters):
        farm.end(running.pop(0))
        running += farm.step()
        assert len(running) == slots
        got = [200 - len(ready) for ready in farm.ready.values()]
        assert max(got) - min(got) <= 1


def test_without_fair_share_the_oldest_job_comes_first() -> None:
    for fair, expected in ((False, {1: 4}), (True, {1: 2, 2: 2})):
        farm = Simulated(Rules(fair=fair), a_farm([(1, 4, ["echo"], ["x"])]), [(1, "ana", 50, 9), (1, "ben", 50, 9)])
        farm.step()
        assert {group: count for (_, group), count in farm.held.items()} == expected


def test_fair_share_never_comes_before_the_priority_of_a_job() -> None:
    farm = Simulated(Rules(), a_farm([(1, 4, ["echo"], ["x"])]), [(1, "ana", 60, 9), (1, "ben", 50, 9)])
    farm.step()
    assert {group: count for (_, group), count in farm.held.items()} == {1: 4}


def test_a_submitter_with_very_many_jobs_hides_nobody() -> None:
    drawn = [(1, "ana", 50, 1)] * 300 + [(1, "ben", 50, 1)]
    farm = Simulated(Rules(), a_farm([(1, 2, ["echo"], ["x"])]), drawn)
    farm.step()
    assert {farm.groups[group].submitter for _, group in farm.held} == {"ana", "ben"}


def test_the_plan_says_why_a_group_is_passed_over() -> None:
    pause = Hold(Scope.QUEUE, "x", "ana", NOW, "wrong camera")
    groups = [
        Group(1, 1, 1, 50, 9, claims=(((Scope.JOB, "1"), 1),)),
        Group(2, 2, 1, 50, 9, hold=pause),
        Group(3, 3, 1, 50, 9, claims=(((Scope.LICENSE, "houdini"), 3),)),
        Group(4, 4, 1, 50, 1, submitter="cyd"),
        Group(5, 5, 1, 50, 9, canceling=True),
    ]
    budgets = Budgets({(Scope.JOB, "1"): 24, (Scope.LICENSE, "houdini"): 2}, {(Scope.JOB, "1"): 24})
    worker = a_worker()

    found = plan(groups, offers([(worker, Free.of(worker, {}, {}))], [a_class(queue="default")]), budgets)

    assert found.looks == {4: 1}
    assert {group: (why.reason, why.sentence) for group, why in found.closed.items()} == {
        1: (Reason.JOB_LIMIT, "24 of 24 tasks allowed at once for job 1 run."),
        2: (Reason.PAUSED_QUEUE, "Queue x was paused by ana: wrong camera."),
        3: (Reason.LICENSE_NEVER, "Needs 3 of license houdini, of which the farm has 2."),
        5: (Reason.CANCELING, "Its job 5 is being canceled."),
    }


def test_a_limit_lowered_below_its_use_gives_nothing_until_enough_has_ended() -> None:
    key = (Scope.KIND, "render")
    assert Budgets({key: 2}, {key: 5}).room(((key, 1),)) == 0
    assert Budgets({key: 2}, {key: 2}).room(((key, 1),)) == 0
    assert Budgets({key: 2}, {key: 1}).room(((key, 1),)) == 1


def test_what_ends_lets_any_worker_be_next_only_when_a_limit_had_kept_it_back() -> None:
    key = (Scope.LICENSE, "houdini")
    claims = (((key), 1),)
    assert Budgets({key: 2}, {key: 1}).reopened({key: 1}, [claims])
    assert not Budgets({key: 4}, {key: 1}).reopened({key: 1}, [claims])
    assert not Budgets({key: 2}, {key: 2}).reopened({key: 1}, [claims])
    assert not Budgets({key: 2}, {key: 1}).reopened({(Scope.KIND, "echo"): 1}, [claims])
