"""A whole farm on a broker that does not tell who is cut off (without `rabbitmq_event_exchange`): everything works, by
silence, and the doctor says so.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from coordinator.local.services import Services
from schemas.views import CheckState, Diagnosis
from tests.integration.agent.conftest import AgentProcess
from tests.support.farm import running

pytestmark = [pytest.mark.faults, pytest.mark.extensive, pytest.mark.timeout(400)]

#: Leaves a mark, and goes on until the file is there.
CODE = """
import os, sys, time
marks, enough = sys.argv[1:]
open(marks, "a").write("x")
while not os.path.exists(enough):
    time.sleep(0.05)
"""


def start(name: str, amqp_url: str, tmp_path: Path) -> AgentProcess:
    places = ("--data-dir", str(tmp_path / name), "--output-root", str(tmp_path / "outputs"))
    return AgentProcess(["--worker", name, "--amqp-url", amqp_url, *places], tmp_path / f"{name}.log")


async def test_without_the_brokers_word_everything_works_by_silence_and_the_doctor_says_so(
    own_services: Callable[..., Services], database_url: str, tmp_path: Path
) -> None:
    services = own_services(postgres=False, plugins=())
    marks, enough = tmp_path / "marks", tmp_path / "enough"
    argv = [sys.executable, "-I", "-S", "-c", CODE, str(marks), str(enough)]
    hold = {"name": "hold", "kind": "exec", "commands": [{"name": "exec", "parameters": {"argv": argv}}]}
    async with running(database_url, services.amqp_url, hurried=True, reconnect_grace_s=0.0) as farm:
        agents = {name: start(name, services.amqp_url, tmp_path) for name in ("node-1", "node-2")}
        try:
            await farm.until("SELECT count(*) = 2 FROM workers WHERE connection = 'online'")
            await farm.submit({"name": "first", "array": {"count": 4}}, {"name": "second", "after": ["first"]})
            await farm.until("SELECT state = 'completed' FROM jobs WHERE id = 1")

            await farm.submit(hold, {"name": "then", "after": ["hold"]})
            holder = await farm.until("SELECT worker_id FROM attempts WHERE state = 'running'")
            await agents[holder].kill()
            await farm.until("SELECT count(*) = 1 FROM attempts WHERE attempt = 2 AND state = 'running'")
            ((reason,),) = await farm.rows("SELECT reason FROM workers WHERE connection = 'lost'")
            assert "silent" in reason or "heartbeat" in reason, reason
            enough.touch()
            await farm.until("SELECT state = 'completed' FROM jobs WHERE id = 2")

            # It is back, and all is well again but that nobody is told.
            agents[holder] = start(holder, services.amqp_url, tmp_path)
            await farm.until("SELECT count(*) = 2 FROM workers WHERE connection = 'online'")
            assert await farm.rows("SELECT FROM coordinators WHERE hears_broker") == []
            await farm.until("SELECT started_at < farm_now() - interval '11 s' FROM coordinators")
            found = await diagnosis(farm.coordinator.settings.http_port)
        finally:
            await asyncio.gather(*(agent.kill() for agent in agents.values()))
    warnings = {(check.part, check.name): check for check in found.checks if check.state is CheckState.WARNING}
    for place in (("broker", "plugin rabbitmq_event_exchange"), ("farm", "the broker's word")):
        assert "silence" in warnings[place].remedy
        assert "rabbitmq-plugins enable rabbitmq_event_exchange" in warnings[place].remedy
    assert warnings["farm", "the broker's word"].said == "0 of 1 hear who is cut off"
    assert [check for check in found.checks if check.state is CheckState.WRONG] == []


async def diagnosis(port: int) -> Diagnosis:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=120) as http:
        return Diagnosis.model_validate_json((await http.get("/doctor")).text)
