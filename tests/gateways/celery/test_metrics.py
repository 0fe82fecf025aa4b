"""What Flower exports can be had from `/metrics`, under the names that the documentation gives."""

import asyncio
import re
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from coordinator.gateways.celery.translate import name_of
from coordinator.proof.celery_crowd import Crowd
from tests.gateways.celery.workers import offers
from tests.gateways.conftest import Gates
from tests.support.farm import Farm

PAGE = Path(__file__).parents[3] / "docs" / "gateways" / "celery.md"
#: Flower 2.0, `flower/events.py`, PrometheusMetrics.
FLOWER = (
    "flower_events_total",
    "flower_task_runtime_seconds",
    "flower_task_prefetch_time_seconds",
    "flower_worker_prefetched_tasks",
    "flower_worker_online",
    "flower_worker_number_of_currently_executing_tasks",
)
SERIES = re.compile(r"`(farmhand_celery_\w+)\{([\w,]+)\}`")


def exported(text: str) -> dict[str, frozenset[str]]:
    """Each of the gateway's metrics that has a series, and its labels."""
    return {
        family.name + ("_total" if family.type == "counter" else ""): frozenset(
            label for sample in family.samples for label in sample.labels
        )
        - {"le"}
        for family in text_string_to_metric_families(text)
        if family.name.startswith("farmhand_celery_") and family.samples
    }


async def test_the_documentation_names_what_is_exported_and_all_of_flower_s(farm: Farm, crowd: Crowd) -> None:
    page = PAGE.read_text()
    documented = {name: frozenset(labels.split(",")) for name, labels in SERIES.findall(page)}
    for name in FLOWER:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}{{")]
        assert SERIES.findall(row), f"{name} can be had"
    worker = crowd.worker("w@host")
    await worker.say("worker-online")
    await crowd.publish(b"{", "task.sent")
    said = [worker.event(f"task-{word}", uuid="the-task") for word in ("received", "started", "succeeded")]
    said[0] |= {"name": "shop.add"}
    said[2] |= {"runtime": 0.5, "result": "3"}
    sent = worker.event("task-sent", uuid="the-task", ago_s=1, name="shop.add", queue="celery")
    await crowd.publish(sent | {"hostname": "gen829@vm"}, "task.sent")
    await worker.say_together(*said)
    channel = crowd.channel
    await channel.declare_queue("celery", durable=True)
    await offers(farm, name_of(worker.hostname), "shop.add")
    async with httpx.AsyncClient(base_url=Gates(farm).url, timeout=60) as http, asyncio.timeout(60):
        while exported(text := (await http.get("/metrics")).text) != documented:  # noqa: ASYNC110 - a wrong one times out
            await asyncio.sleep(0.2)
    assert 'farmhand_workers{connection="online",duty="awake",protocol="celery"} 1.0' in text
    assert "the-task" not in text, "no task is a label"
    assert "gen829" not in text, "a client is no worker"
