"""The reasons: each has its words, and every sentence can be filled in."""

import string

from coordinator.domain.reason import Count, Kind, Reason, Seconds
from coordinator.domain.why import LINES


def test_every_reason_has_its_line_and_every_line_its_place() -> None:
    assert set(LINES) == set(Reason)
    assert [reason.place for reason in Reason] == list(range(len(Reason)))


def test_every_line_says_what_is_so_and_what_to_do_when_only_people_help() -> None:
    for reason, line in LINES.items():
        assert line.sentence.endswith((".", "}")), reason
        assert line.remedy.startswith("farmhand ") or (not line.remedy and line.kind is not Kind.NEVER), reason


def test_the_templates_are_sound() -> None:
    for line in LINES.values():
        for template in (line.sentence, line.remedy):
            assert all(name is None or name.isidentifier() for _, name, _, _ in string.Formatter().parse(template))


def test_a_count_says_what_it_counts() -> None:
    assert f"{Count(1):worker} {Count(1):is|are}" == "1 worker is"
    assert f"{Count(3000):worker} {Count(3):is|are}" == "3,000 workers are"
    assert f"{Count(0)}" == "0"


def test_a_length_of_time_is_told_in_the_unit_that_suits_it() -> None:
    assert [f"{Seconds(n)}" for n in (0, 119, 120, 7199, 7200, 172_800)] == [
        "0 s", "119 s", "2 min", "119 min", "2 h", "2 days",
    ]  # fmt: skip
