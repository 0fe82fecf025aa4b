"""How answers look, and that nothing in them is obeyed by a terminal."""

import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.cli.output import Column, ago, clean, clean_lines, duration, show_table, size
from coordinator.cli.services import mask
from coordinator.cli.waiting import seconds


@given(st.text())
def test_a_cleaned_text_is_one_line_without_control_characters(text: str) -> None:
    cleaned = clean(text)

    assert not {unicodedata.category(sign) for sign in cleaned} & {"Cc", "Cs", "Zl", "Zp"}


@given(st.text())
def test_cleaned_lines_hold_no_control_character_but_line_ends_and_tabs(text: str) -> None:
    assert not {sign for sign in clean_lines(text) if ord(sign) < 32} - {"\n", "\t"}


def test_what_a_terminal_would_obey_is_shown_instead() -> None:
    assert clean("\x1b]0;owned\x07 \x9b31m \u202eabc\n\tdef") == "\\x1b]0;owned\\x07 \\x9b31m \\u202eabc  def"
    assert clean_lines("10%\r20%\r\nend\x08\x7f\n") == "10%\n20%\nend\\x08\\x7f\n"


def test_a_table_keeps_ids_and_takes_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    columns = [Column("ID", lambda row: row[0], keep=True, right=True), Column("NAME", lambda row: row[1])]

    show_table(columns, [(1, "[red]x[/red] :smile:"), (22, "y\n\x1b[1m" + "z" * 300)], empty="nothing")

    assert capsys.readouterr().out.splitlines() == [
        "ID  NAME",
        " 1  [red]x[/red] :smile:",
        "22  y \\x1b[1m" + "z" * 300,
    ]


def test_an_empty_table_says_what_that_means(capsys: pytest.CaptureFixture[str]) -> None:
    show_table([Column("ID", lambda row: row)], [], empty="nothing yet")

    assert capsys.readouterr() == ("", "nothing yet\n")


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "0s"), (59.4, "59s"), (60, "1m"), (61, "1m1s"), (3599, "59m"), (3600, "1h"), (5400, "1h30m"),
        (90000, "1d1h"), (864000, "10d"),
    ],
)  # fmt: skip
def test_durations_have_one_or_two_units(amount: float, shown: str) -> None:
    assert duration(amount) == shown


def test_instants_are_told_from_now() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    assert ago(now - timedelta(minutes=3), now) == "3m ago"
    assert ago(now + timedelta(seconds=40), now) == "in 40s"
    assert ago(now + timedelta(milliseconds=500), now) == "0s ago"


def test_sizes_have_a_unit() -> None:
    assert [size(count) for count in (0, 1023, 1536, 5 * 2**30, 2**50)] == [
        "0 B", "1023 B", "1.5 KiB", "5.0 GiB", "1024.0 TiB",
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("1h30m5s", 5405)])
def test_times_are_read_in_seconds(text: str, value: int) -> None:
    assert seconds(text) == value


def test_passwords_in_urls_are_hidden() -> None:
    assert mask("amqp://u:p@host:5672/v") == "amqp://u:***@host:5672/v"
    assert mask("postgresql://u@host/db") == "postgresql://u@host/db"
    assert mask("http://[") == "(not a URL)"
