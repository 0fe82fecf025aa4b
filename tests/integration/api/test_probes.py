"""Health, readiness and metrics; and a database that goes away."""

import httpx
from fastapi import FastAPI

from coordinator.storage.pool import open_pool
from coordinator.storage.views import Views
from tests.integration.api.rows import Rows

ROOT = "http://farm/"


async def test_ready_says_what_is_wrong(http: httpx.AsyncClient, ailments: list[str]) -> None:
    ready = await http.get(ROOT + "readyz")
    ailments.append("the broker does not deliver")
    broken = await http.get(ROOT + "readyz")

    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    assert (broken.status_code, broken.json()["detail"]) == (503, "the broker does not deliver")
    assert (await http.get(ROOT + "healthz")).status_code == 200


async def test_metrics_tell_the_farm_from_its_rows(http: httpx.AsyncClient, rows: Rows) -> None:
    await rows.worker()
    await rows.worker("node-2", duty="asleep")
    await rows.worker("node-3", connection="lost")
    job = await rows.job(queue="gpu")
    *_, running = await rows.tasks(job, ["blocked", "ready", "ready", "running"], queue="gpu")
    await rows.attempt(running)
    await rows.parked()

    text = (await http.get(ROOT + "metrics")).text

    assert {line for line in text.splitlines() if line.startswith(("farmhand_workers", "farmhand_worker_slots"))} == {
        'farmhand_workers{connection="online",duty="awake",protocol="native"} 1.0',
        'farmhand_workers{connection="online",duty="asleep",protocol="native"} 1.0',
        'farmhand_workers{connection="lost",duty="awake",protocol="native"} 1.0',
        'farmhand_worker_slots{protocol="native",use="used"} 1.0',
        'farmhand_worker_slots{protocol="native",use="free"} 3.0',
        'farmhand_worker_slots{protocol="native",use="unavailable"} 8.0',
    }
    assert 'farmhand_tasks{queue="gpu",state="blocked"} 1.0' in text
    assert 'farmhand_tasks{queue="gpu",state="ready"} 2.0' in text
    assert 'farmhand_tasks{queue="gpu",state="running"} 1.0' in text
    assert 'farmhand_jobs{state="active"} 1.0' in text
    assert 'farmhand_parked_messages{reason="invalid"} 1.0' in text
    assert 'farmhand_tasks_oldest_ready_timestamp_seconds{queue="gpu"} 1.7723664e+09' in text
    assert 'farmhand_build_info{protocol="1",version="1.2.3"} 1.0' in text
    assert 'farmhand_attempts_finished_total{outcome="lost"} 0.0' in text


async def test_without_the_database_reads_are_refused_and_metrics_are_those_of_the_process(
    app: FastAPI, http: httpx.AsyncClient, database_url: str
) -> None:
    pool = await open_pool(database_url)
    await pool.close()
    app.state.farm.__dict__["views"] = Views(pool)

    job, ready, metrics = (await http.get("jobs/1"), await http.get(ROOT + "readyz"), await http.get(ROOT + "metrics"))

    assert (job.status_code, job.json()["type"]) == (503, "urn:farmhand:problem:unavailable")
    assert (ready.status_code, ready.json()["detail"]) == (503, "the database cannot be reached: try again")
    assert metrics.status_code == 200
    assert "farmhand_build_info" in metrics.text
    assert "farmhand_workers" not in metrics.text
