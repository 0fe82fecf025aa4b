"""Metrics: their names, and labels that stay few."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import structlog

from coordinator.telemetry import Telemetry, configure_logging
from schemas.views import Numbers, QueueView


def numbers(queues: int) -> Numbers:
    """A farm with so many queues, each with one ready task."""
    names = [f"q{number}" for number in range(queues)]
    now = datetime.now(UTC)
    return Numbers(
        at=now,
        workers=[],
        queues=[QueueView(name=n, waiting=1, running=0, oldest_ready_at=now, serving=0, workers=0) for n in names],
        jobs={},
        tasks={name: {"ready": 1} for name in names},
        parked={},
    )


def test_the_fifty_first_queue_is_counted_among_the_others() -> None:
    text = Telemetry("1").expose(numbers(60)).decode()

    ready = [line for line in text.splitlines() if line.startswith("farmhand_tasks{") and 'state="ready"' in line]
    assert len(ready) == 51
    assert 'farmhand_tasks{queue="_other",state="ready"} 10.0' in ready


def test_known_labels_start_at_nought_and_no_oldest_is_no_series() -> None:
    text = Telemetry("1").expose(numbers(0)).decode()

    assert 'farmhand_verdicts_total{verdict="accepted"} 0.0' in text
    assert 'farmhand_broker_connected{role="consume"} 0.0' in text
    assert "\nfarmhand_tasks_oldest_ready_timestamp_seconds{" not in text
    assert "_created" not in text


def test_two_coordinators_in_one_process_count_apart() -> None:
    one, other = Telemetry("1"), Telemetry("1")

    one.tasks_submitted.labels(one.queue("a")).inc(3)

    assert b'farmhand_tasks_submitted_total{queue="a"} 3.0' in one.expose(None)
    assert b'queue="a"' not in other.expose(None)


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Puts the process's logging back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {
        name: logging.getLogger(name).level for name in ("aiormq", "aio_pika", "uvicorn.access", "httpx", "httpcore")
    }
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


@pytest.mark.usefixtures("logging_as_before")
def test_our_logs_and_those_of_libraries_are_json_of_one_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    structlog.get_logger("ours").info("assigned", task=3)
    logging.getLogger("theirs").warning("careful %s", "now")
    logging.getLogger("theirs").debug("unheard")
    logging.getLogger("theirs").error("broken", exc_info=ValueError("hush"))

    ours, theirs, broken = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["task"], ours["level"], ours["logger"]) == ("assigned", 3, "info", "ours")
    assert (theirs["event"], theirs["level"]) == ("careful now", "warning")
    assert broken["exception"].endswith("ValueError: hush")


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="no log level 'loud': use debug"):
        configure_logging("loud")
