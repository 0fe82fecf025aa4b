"""Every status word of ClearML and of Farmhand is mapped, or named as what cannot be; ids go there and back."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.task import TaskState
from coordinator.gateways.clearml import translate as t
from coordinator.gateways.clearml import wire
from coordinator.gateways.clearml.envelope import SHAPE
from coordinator.gateways.kit import Fault
from coordinator.operations.signs import Kept
from schemas.task import Outcome

WORD = r"[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,63}"
CALLER = t.Caller("agents", "0" * 32, "10.0.0.7", "gpu-box")


def test_every_word_is_mapped_or_named_as_unused() -> None:
    assert set(t.STATUS_OF) == set(TaskState)
    told = {*t.STATUS_OF.values(), t.RUNS}
    assert told | t.UNUSED == set(t.TASK_STATUSES)
    assert not told & t.UNUSED
    assert set(t.OUTCOMES) <= set(t.TASK_STATUSES)
    assert set(t.OUTCOMES.values()) | {Outcome.CANCELED} == set(Outcome), "who is told to end says stopped"
    assert set(t.AGGREGATIONS) == {"avg", "min", "max"}


@pytest.mark.parametrize("state", TaskState)
def test_an_agent_goes_on_only_with_what_is_its_own(state: TaskState) -> None:
    assert t.status_of(state, live=True) == "in_progress"
    assert t.status_of(state, live=False) in {"stopped", "completed", "failed"}


@given(st.from_regex(WORD, fullmatch=True))
def test_a_queues_id_is_its_name_in_other_digits(name: str) -> None:
    identity = t.queue_id(name)
    assert t.queue_name(identity) == name
    assert len(identity) >= 32
    assert set(identity) <= set("0123456789abcdef")
    assert t.queues_called(f"^{name.replace('.', chr(92) + '.').replace('+', chr(92) + '+')}$", []) == [name]


@given(st.text())
def test_what_is_no_id_names_no_queue_and_no_pattern_is_a_crash(text: str) -> None:
    name = t.queue_name(text)
    assert name is None or t.queue_id(name) == text
    try:
        assert {"default"} >= set(t.queues_called(text, ["default"])) or t.is_queue(text.strip("^$").replace("\\", ""))
    except ValueError as error:
        assert "regular expression" in str(error)  # noqa: PT017


@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32)))
def test_figures_are_written_as_json_without_what_their_storage_made_up(figures: list[float]) -> None:
    assert json.loads(t.written(figures)) == pytest.approx(figures, rel=1e-6, abs=1e-40)
    assert t.written([78.4000015258789, 25.0, 0.0]) == "[78.4,25,0]"


@given(st.integers(1, 2**62 - 1), st.integers(1, 2**31 - 1))
def test_a_tasks_id_names_one_attempt(task: int, attempt: int) -> None:
    identity = t.task_id(task, attempt)
    assert len(identity) == 32
    assert t.ref_of(identity) == (task, attempt)
    assert t.ref_of(identity.upper()) is None or identity.isdigit()


@given(st.text(alphabet="0123456789abcdef", min_size=32, max_size=32))
def test_other_ids_name_nothing(text: str) -> None:
    ref = t.ref_of(text)
    assert ref is None or t.task_id(*ref) == text


@given(
    st.sets(st.sampled_from("abc")),
    st.lists(st.tuples(st.booleans(), st.sampled_from("abc")).map(lambda one: ("-" if one[0] else "") + one[1])),
)
def test_a_filter_is_what_its_words_say(tags: set[str], wanted: list[str]) -> None:
    plain = [one for one in wanted if one in "abc"]
    barred = [one[1] for one in wanted if one not in "abc"]
    expected = (not plain or any(one in tags for one in plain)) and all(one not in tags for one in barred)
    assert t.passes(tags, wanted) is expected


def test_figures_are_told_as_our_own_and_as_theirs() -> None:
    said = wire.StatusReport.model_validate(
        {
            "worker": "w",
            "timestamp": 1,
            "machine_stats": {
                "cpu_usage": [0, 50],
                "memory_used": 1024,
                "memory_free": 3072,
                "gpu_usage": [10],
                "gpu_memory_used": [1],
                "gpu_memory_free": [3],
                "gpu_temperature": [40.5],
                "network_rx": 0,
                "disk_write": None,
                "gpu_fraction": [1],
            },
        }
    )
    stats: Any = t.sign_of(said).stats
    extra = stats.pop("extra")
    assert stats == {
        "cpu_percent": 25.0,
        "cores_percent": [0.0, 50.0],
        "memory_used": 2**30,
        "memory_total": 2**32,
        "gpus": [{"percent": 10.0, "temperature": 40.5, "memory_used": 2**20, "memory_total": 2**22}],
        "network_received_rate": 0,
    }
    assert extra["clearml.network_rx"] == [0.0], "zeros are figures"
    assert "clearml.disk_write" not in extra
    assert t.categories(extra) == [
        {"name": "cpu", "metric_keys": ["cpu_usage"]},
        {"name": "gpu", "metric_keys": ["gpu_memory_free", "gpu_memory_used", "gpu_temperature", "gpu_usage"]},
        {"name": "memory", "metric_keys": ["memory_free", "memory_used"]},
        {"name": "network", "metric_keys": ["network_rx"]},
    ]


@pytest.mark.parametrize("timestamp", [1_760_000_000, 1_760_000_000_000])
def test_a_time_may_be_in_seconds_or_milliseconds(timestamp: int) -> None:
    sign = t.sign_of(wire.StatusReport(worker="w", timestamp=timestamp))
    assert sign.at == datetime.fromtimestamp(1_760_000_000, UTC)
    assert (sign.stats, sign.kept) == (None, Kept.ALWAYS)


def test_a_report_says_only_what_it_says() -> None:
    said = t.reported(wire.StatusReport(worker="w", timestamp=1), CALLER)
    assert (said.queues, said.tags, said.kinds, said.lost_after_s) == (None, None, None, None)
    assert said.platform is not None
    assert "tags" not in said.platform
    full = wire.StatusReport(worker="w", timestamp=1, tags=["a b", "c"], queues=["nowhere", t.queue_id("q")])
    said = t.reported(full, CALLER)
    assert (said.queues, said.tags) == (("q",), ("c",)), "a task may ask for what is a word of ours"
    assert said.platform is not None
    assert said.platform["tags"] == ["a b", "c"]


def test_who_has_been_silent_for_its_time_is_not_listed_though_nobody_has_judged_yet() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for silence_s, present, expected in ((599, True, True), (601, True, False), (1, False, False)):
        one: Any = SimpleNamespace(
            now=now, last_seen_at=now - timedelta(seconds=silence_s), lost_after_s=600.0, present=present, platform={},
            foreign_id="w[1]",
        )  # fmt: skip
        assert t.listed(one, [], [], None, None) is expected
        assert t.listed(one, [], [], None, "w[1]") is expected, "brackets are no pattern"


def test_a_query_is_nested_and_the_body_comes_first() -> None:
    made = json.loads(wire.fields(b'{"b": 2}', "a.x=1&a.y=z&l[]=1&m=1&m=2&b=3&flag=true"))
    assert made == {"a": {"x": "1", "y": "z"}, "l": ["1"], "m": ["1", "2"], "b": 2, "flag": "true"}
    asked = wire.Stats.model_validate_json(
        wire.fields(b'{"items": [{"key": "k"}]}', "from_date=1&to_date=2.5&interval=3&split_by_variant=true")
    )
    assert (asked.to_date, asked.interval, asked.split_by_variant) == (2.5, 3, True)


@given(st.binary(), st.text())
def test_whatever_comes_is_an_object_or_a_fault(body: bytes, query: str) -> None:
    try:
        assert isinstance(json.loads(wire.fields(body, query)), dict)
    except Fault as fault:
        assert fault.status == 400  # noqa: PT017


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("/workers.register", True),
        ("/v2.5/workers.get_all/", True),
        ("/auth.login", True),
        ("/users.get_vaults", True),
        ("/v1/workers", False),
        ("/favicon.ico", False),
        ("/openapi.json", False),
        ("/api/workers.register", False),
    ],
)
def test_what_belongs_to_this_gateway_is_told_by_its_look(path: str, ours: bool) -> None:  # noqa: FBT001 - a case
    assert (SHAPE.fullmatch(path) is not None) is ours
