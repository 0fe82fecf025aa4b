"""Figures over time, by HTTP and from the command line: numbers, CSV, drawings, and questions that make no sense."""

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from coordinator.client import AsyncFarmhandClient, FarmhandError
from tests.integration.api.rows import Rows
from tests.integration.api.test_command_line import Run, farmhand, url  # noqa: F401 - fixtures

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TIME: dict[str, Any] = {"since": AT.isoformat(), "until": (AT + timedelta(minutes=10)).isoformat(), "interval": 300}


@pytest.fixture
async def sampled(rows: Rows) -> None:
    """Two workers, one of them idle, for ten minutes."""
    for minute in range(10):
        at = AT + timedelta(minutes=minute)
        await rows.insert("samples", at=at, worker_id="node-1", held=1, cpu=float(minute), cores=[0.0, 2.0 * minute])
        await rows.insert("samples", at=at, worker_id="node-2", held=0, cpu=0.0, cores=[0.0])


@pytest.mark.usefixtures("sampled")
async def test_a_series_has_a_line_for_the_farm_or_for_each_worker(client: AsyncFarmhandClient) -> None:
    whole = await client.series("cpu", **TIME)
    assert [(line.worker, line.count, line.values) for line in whole.lines] == [
        (None, [10, 10], {"min": [0, 0], "max": [4, 9], "mean": [1, 3.5]})
    ]
    assert (whole.unit, whole.exact) == ("%", True)
    each = await client.series("cpu", split="worker", aggregations=["p50", "max"], **TIME)
    assert [(line.worker, line.values) for line in each.lines] == [
        ("node-1", {"p50": [2, 7], "max": [4, 9]}),
        ("node-2", {"p50": [0, 0], "max": [0, 0]}),
    ]
    cores = await client.series("core", workers=["node-1"], split="variant", aggregations=["max"], **TIME)
    assert [(line.variant, line.values) for line in cores.lines] == [(0, {"max": [0, 0]}), (1, {"max": [8, 18]})]


@pytest.mark.usefixtures("sampled")
async def test_a_spreadsheet_gets_the_same_figures(http: httpx.AsyncClient) -> None:
    answer = await http.get("statistics/series.csv", params={"metric": "cpu", "split": "worker", **TIME})
    assert answer.headers["content-type"].startswith("text/csv")
    first, *_ = rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 4
    assert first == {
        "at": AT.isoformat(), "worker": "node-1", "variant": "", "count": "5", "min": "0.0", "max": "4.0",
        "mean": "2.0",
    }  # fmt: skip
    activity = await http.get("statistics/activity.csv", params=TIME)
    assert [line.partition(",")[2] for line in activity.text.splitlines()] == ["total,active", "2,1", "2,1"]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"metric": "cpu", "interval": 1, "since": "2020-01-01T00:00Z"}, "more than 20000 intervals"),
        ({"metric": "cpu", "since": AT.isoformat(), "until": AT.isoformat()}, "`since` has to be before"),
        ({"metric": "cpu", "aggregation": "p101"}, "aggregation"),
        ({"metric": "core", "split": "variant", "aggregation": "p50"}, "split by worker"),
        ({"metric": "cpu", "worker": "Not A Worker"}, "worker"),
        ({"metric": "mood"}, "there is no metric 'mood'"),
    ],
)
async def test_a_question_that_makes_no_sense_is_told_so(
    http: httpx.AsyncClient, question: dict[str, Any], said: str
) -> None:
    answer = await http.get("statistics/series", params=question)
    assert answer.status_code in (404, 422)
    assert said in answer.json()["detail"]


async def test_the_client_lists_the_metrics_and_says_which_there_is_not(client: AsyncFarmhandClient) -> None:
    assert {"cpu", "core", "memory", "disk", "network_sent", "load", "gpu", "held"} <= {
        one.metric for one in await client.metrics()
    }
    with pytest.raises(FarmhandError, match="no metric 'mood'"):
        await client.series("mood")


@pytest.mark.usefixtures("sampled")
async def test_the_command_line_shows_and_draws(farmhand: Run, tmp_path: Path) -> None:  # noqa: F811 - the fixture
    time = ["--since", TIME["since"], "--until", TIME["until"], "--interval", "5m"]
    table = await farmhand("stats", "cpu", "--each", *time, "--show", "mean,p95")
    assert [line.split()[-4:] for line in table.lines] == [
        ["LINE", "COUNT", "MEAN", "P95"],
        ["node-1", "5", "2", "4"],
        ["node-1", "5", "7", "9"],
        ["node-2", "5", "0", "0"],
        ["node-2", "5", "0", "0"],
    ]
    shown = (await farmhand("stats", "activity", *time, "--json")).json
    assert (shown["total"], shown["active"]) == ([2, 2], [1, 1])
    for name, head in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml")):
        assert (await farmhand("stats", "cpu", *time, "--plot", str(tmp_path / name))).code == 0
        assert (tmp_path / name).read_bytes().startswith(head)
    drawn = await farmhand("stats", "activity", *time, "--terminal")
    assert (drawn.code, "workers" in drawn.out, len(drawn.lines) > 10) == (0, True, True)
    assert (await farmhand("stats", "cpu", *time, "--plot", str(tmp_path / "a.gif"))).code == 2
    assert (await farmhand("stats", "cpu", "--since", "yesterday")).code == 2
    assert "nothing to draw" in (await farmhand("stats", "cpu", "--since", "1m", "--plot", "b.png")).err
