"""A small worker that speaks Flamenco 3 as theirs does: it registers, signs on, asks for tasks, runs `exec`, reports.

    python -P flamenco_worker.py URL NAME

Ended by SIGTERM: it hands back what it runs, and signs off.
"""

import secrets
import signal
import subprocess
import sys
import time
from typing import Any, Final

import httpx

#: What it can run.
TASK_TYPES: Final = ["misc"]
#: Between two questions when there is no work, and when the manager is not there.
IDLE_S: Final = 0.5
#: How long an update may wait for its answer.
TIMEOUT_S: Final = 30.0


class Worker:
    """One worker and its manager."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self.http = httpx.Client(base_url=f"{url}/api/v3/worker", timeout=TIMEOUT_S, trust_env=False)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """One call, made again until the manager answers."""
        while True:
            try:
                answer = self.http.request(method, path, json=body)
            except httpx.TransportError as error:
                print(f"{method} {path}: {error}; again", flush=True)
            else:
                print(f"{method} {path}: {answer.status_code} {answer.text[:200]}", flush=True)
                return answer
            time.sleep(IDLE_S)

    def begin(self) -> None:
        """Register, sign on, be awake."""
        secret = secrets.token_hex(32)
        me = {"name": self.name, "supported_task_types": TASK_TYPES}
        known = self.call("POST", "/register-worker", {**me, "secret": secret, "platform": "linux"}).raise_for_status()
        self.http.auth = (known.json()["uuid"], secret)
        self.call("POST", "/sign-on", {**me, "software_version": "scripted"}).raise_for_status()
        self.be("awake")

    def be(self, status: str) -> None:
        """Say what it is from now on."""
        self.call("POST", "/state-changed", {"status": status})

    def work(self) -> None:
        """Ask for tasks and run them, for ever."""
        while True:
            answer = self.call("POST", "/task")
            if answer.status_code == httpx.codes.OK:
                self.run(answer.json())
                continue
            if answer.status_code == httpx.codes.LOCKED:
                self.be(answer.json()["status_requested"])
            elif (asked := self.call("GET", "/state")).status_code == httpx.codes.OK:
                self.be(asked.json()["status_requested"])
            time.sleep(IDLE_S)

    def run(self, task: dict[str, Any]) -> None:
        """Run its commands, one after another, until one fails."""
        path = f"/task/{task['uuid']}"
        self.call("POST", path, {"taskStatus": "active", "activity": "Started"})
        for command in task["commands"]:
            said = command["parameters"]
            done = subprocess.run([said["exe"], *said["args"]], capture_output=True, text=True, check=False)
            self.call("POST", path, {"log": done.stdout + done.stderr})
            if done.returncode != 0:
                self.call("POST", path, {"taskStatus": "failed", "activity": f"exit code {done.returncode}"})
                return
        self.call("POST", path, {"taskStatus": "completed", "activity": "Completed"})


def main() -> None:
    """Work until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    worker = Worker(sys.argv[1], sys.argv[2])
    worker.begin()
    try:
        worker.work()
    finally:
        worker.http.post("/sign-off")


if __name__ == "__main__":
    main()
