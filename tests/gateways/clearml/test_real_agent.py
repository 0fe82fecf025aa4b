"""`clearml-agent` 3.0.3, as its registry has it, against the gateway: its session and request classes, and the daemon.

What the daemon asks goes through a recorder, so that it is evidence: which calls, in which order, answered how.
"""

import asyncio
import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from coordinator.gateways.clearml import translate
from coordinator.local.ports import free_port
from tests.gateways.clearml.conftest import Lab
from tests.gateways.clients import client, run

#: The client is fetched at first, which takes its time.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

Change = Callable[[str, Any], Any]

SESSION = """
import os, sys, time
url, key, secret, home, queue = sys.argv[1:]
os.environ.update(HOME=home, TMPDIR=home, NO_PROXY="127.0.0.1", CLEARML_API_HOST=url, CLEARML_API_ACCESS_KEY=key,
                  CLEARML_API_SECRET_KEY=secret)
from clearml_agent.backend_api.session import Session
from clearml_agent.backend_api.services import workers as w
session = Session(initialize_logging=False)
now = int(time.time())
def listed():
    return [one.id for one in session.send(w.GetAllRequest(last_seen=100)).response.workers]
assert session.send(w.RegisterRequest(worker="real:0", timeout=300, queues=[queue])).ok()
assert "real:0" in listed()
report = w.StatusReportRequest(worker="real:0", timestamp=now * 1000,
                               machine_stats={"cpu_usage": [10, 20], "memory_used": 50})
assert session.send(report).ok()
keys = session.send(w.GetMetricKeysRequest(worker_ids=["real:0"])).response
assert {one.name: one.metric_keys for one in keys.categories} == {"cpu": ["cpu_usage"], "memory": ["memory_used"]}
none = session.send(w.GetMetricKeysRequest(worker_ids=["nope"]))
assert (none.meta.result_code, none.meta.result_subcode) == (400, 1005), none.meta
stats = session.send(w.GetStatsRequest(from_date=now - 60, to_date=now + 600, interval=3600, worker_ids=["real:0"],
                                       items=[w.StatItem(key="cpu_usage", category="max")])).response
(one,) = stats.workers
assert (one.worker, one.metrics[0].metric, one.metrics[0].stats[0].values) == ("real:0", "cpu_usage", [20.0]), one
assert one.metrics[0].dates
activity = session.send(w.GetActivityReportRequest(from_date=now - 3600, to_date=now + 3600, interval=600)).response
assert max(activity.total.counts) >= 1 and len(activity.total.dates) == len(activity.active.counts) == 12
(entry,) = [x for x in session.send(w.GetAllRequest()).response.workers if x.id == "real:0"]
assert [queue.id for queue in entry.queues] == [queue] and entry.last_report_time and entry.task is None
assert session.send_request("workers", "get_count", json={}).json()["data"]["count"] >= 1
assert session.send(w.UnregisterRequest(worker="real:0")).ok()
assert "real:0" not in listed()
print("seven operations")
"""


class Recorder:
    """Passes calls on to the gateway, and notes them; *change* may spoil an answer, for a negative control."""

    def __init__(self, target: str, change: Change | None = None) -> None:
        self.calls: list[tuple[str, str, dict[str, Any], int]] = []
        self.news = asyncio.Condition()
        self._http = httpx.AsyncClient(base_url=target, timeout=60)
        self._change = change

    async def pass_on(self, request: Request) -> Response:
        """One call."""
        body, path = await request.body(), request.url.path
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        answer = await self._http.request(request.method, path, content=body, headers=headers)
        content = answer.content
        if self._change is not None:
            content = json.dumps(self._change(path, answer.json())).encode()
        try:
            said = json.loads(body or b"{}")
        except ValueError:
            said = {"lines": body.count(b"\n") + 1}
        async with self.news:
            self.calls.append((request.method, path, said, answer.status_code))
            self.news.notify_all()
        return Response(content, answer.status_code, media_type="application/json")

    def paths(self) -> list[str]:
        """Which calls there were, without versions."""
        return [re.sub(r"^/(v[\d.]+/)?", "", path) for _, path, _, _ in self.calls]

    async def until(self, what: Callable[[], bool], within_s: float = 240.0) -> None:
        """Wait until the calls show it."""
        async with asyncio.timeout(within_s), self.news:
            await self.news.wait_for(what)

    async def until_asked(self, *, after: int) -> None:
        """Wait until the daemon asks for work, after so many calls."""
        await self.until(lambda: "queues.get_next_task" in self.paths()[after:])

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()


@asynccontextmanager
async def recording(target: str, change: Change | None = None) -> AsyncIterator[tuple[Recorder, str]]:
    """A recorder before *target*, and its address."""
    recorder, port = Recorder(target, change), free_port()
    app = Starlette(routes=[Route("/{path:path}", recorder.pass_on, methods=["GET", "POST", "PUT"])])
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    try:
        yield recorder, f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving
        await recorder.close()


class Daemon:
    """`clearml-agent daemon` as a process of its own."""

    def __init__(self, lab: Lab, url: str, home: Path, *queues: str) -> None:
        self.worker = lab.worker("real")
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(client("clearml")),
            "PYTHONUNBUFFERED": "1",
            "HOME": str(home),
            "TMPDIR": str(home),
            "NO_PROXY": "127.0.0.1",
            "CLEARML_API_HOST": url,
            "CLEARML_API_ACCESS_KEY": lab.keys["access_key"],
            "CLEARML_API_SECRET_KEY": lab.keys["secret_key"],
            "CLEARML_WORKER_ID": self.worker,
            "CLEARML_AGENT_QUEUE_POLL_FREQ_SEC": "0.5",
            "CLEARML_AGENT_STATUS_REPORT_FREQ_SEC": "2",
            "CLEARML_AGENT__AGENT__DISABLE_AGENT_UPDATE_CHECK": "true",
            # The program runs in the agent's own Python: no packages are fetched.
            "CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL": "1",
        }
        self.log = home / "daemon.log"
        arguments = ["-m", "clearml_agent", "daemon", "--foreground", "--cpu-only", "--queue", *queues]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", *arguments], env=environment, stdout=log, stderr=log, start_new_session=True
            )

    async def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self._process.wait, 120)

    def kill(self) -> None:
        """End what is left of it."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


async def test_its_session_and_request_classes_work_unchanged(lab: Lab, tmp_path: Path) -> None:
    """clearml-agent 3.0.3, backend_api: seven of the eight operations; get_count has no class there."""
    keys = lab.keys["access_key"], lab.keys["secret_key"]
    said = await asyncio.to_thread(
        run, "clearml", SESSION, lab.gates.url, *keys, str(tmp_path), translate.queue_id(lab.queue)
    )
    assert said.splitlines()[-1] == "seven operations"


async def printed(lab: Lab, job: int) -> str:
    """The logs of a job of one task."""
    sql = (
        "SELECT coalesce(string_agg(l.text, '' ORDER BY chunk), '') AS log FROM logs l"
        " JOIN tasks t ON t.id = l.task_id WHERE t.job_id = $1"
    )
    return str((await lab.farm.rows(sql, job))[0]["log"])


@pytest.mark.extensive
async def test_the_daemon_starts_reports_polls_in_order_runs_tasks_and_signs_off(lab: Lab, tmp_path: Path) -> None:
    """clearml-agent 3.0.3, daemon: as shipped, from its start to SIGTERM. Its request log stays in tmp_path."""
    urgent, calm = f"urgent-{lab.mark}", f"calm-{lab.mark}"
    async with recording(lab.gates.url) as (recorder, url):
        daemon = Daemon(lab, url, tmp_path, urgent, calm)
        try:
            await recorder.until(lambda: recorder.paths().count("queues.get_next_task") >= 4)
            await recorder.until(lambda: "workers.status_report" in recorder.paths())
            paths = recorder.paths()
            assert paths[0] == "auth.login"
            assert paths.index("workers.register") < paths.index("queues.get_next_task")
            polled = [said["queue"] for _, path, said, _ in recorder.calls if path.endswith("get_next_task")]
            assert polled[:4] == [translate.queue_id(one) for one in (urgent, calm, urgent, calm)], "in their order"
            assert paths.count("auth.login") == 1, "its token is good for long enough"

            job = await lab.submit("hello", queue=calm)
            await recorder.until(lambda: bool({"tasks.completed", "tasks.failed"} & {*recorder.paths()}))
            assert "tasks.completed" in recorder.paths()
            await lab.farm.until("SELECT state = 'completed' FROM tasks WHERE job_id = $1", job)
            assert "hello" in await printed(lab, job), "the program ran: this is what it printed"
            await recorder.until_asked(after=len(recorder.calls))

            job = await lab.submit(
                "sleeper", queue=urgent, script="print('asleep', flush=True)\nimport time\ntime.sleep(9999)"
            )
            async with asyncio.timeout(240):
                while "asleep" not in await printed(lab, job):
                    await lab.farm.rows("SELECT pg_sleep(0.2)")
            async with lab.operator() as operator:
                await operator.cancel_job(job)
            await recorder.until_asked(after=len(recorder.calls))
            await lab.farm.until("SELECT a.state = 'ended' FROM attempts a JOIN tasks t ON t.id = a.task_id"
                                 " WHERE t.job_id = $1", job)  # fmt: skip

            await daemon.stop()
            await recorder.until(lambda: "workers.unregister" in recorder.paths())
        finally:
            daemon.kill()
            evidence = [f"{status} {method} {path}" for method, path, _, status in recorder.calls]
            (tmp_path / "requests.log").write_text("\n".join(evidence))
        assert {status for *_, status in recorder.calls} == {200}, "nothing that it needs is missing"
        assert (await lab.row(daemon.worker))["connection"] == "offline"
        assert "worker.lost" not in await lab.story(daemon.worker)


def without_data(path: str, answer: Any) -> Any:
    """Null for an empty queue."""
    return {**answer, "data": None} if path.endswith("get_next_task") else answer


def soon_expired(path: str, answer: Any) -> Any:
    """A token for an hour."""
    if path.endswith("auth.login"):
        head, body, proof = answer["data"]["token"].split(".")
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        short = json.dumps({**claims, "exp": int(time.time()) + 3600}).encode()
        answer["data"]["token"] = f"{head}.{base64.urlsafe_b64encode(short).decode().rstrip('=')}.{proof}"
    return answer


@pytest.mark.extensive
@pytest.mark.parametrize(
    ("change", "said"), [(without_data, "should be an instance of Response"), (soon_expired, "No tasks in queue")]
)
async def test_what_a_wrong_gateway_would_look_like(lab: Lab, tmp_path: Path, change: Change, said: str) -> None:
    """Negative controls: to the daemon, null for an empty queue is no answer, and a token for an hour none to use
    twice; it goes on after each login as the worker that it was."""
    async with recording(lab.gates.url, change) as (recorder, url):
        daemon = Daemon(lab, url, tmp_path, lab.queue)
        try:
            await recorder.until(lambda: recorder.paths().count("queues.get_next_task") >= 3)
            assert said in daemon.log.read_text(errors="replace")
            assert (recorder.paths().count("auth.login") > 1) == (change is soon_expired)
        finally:
            daemon.kill()
