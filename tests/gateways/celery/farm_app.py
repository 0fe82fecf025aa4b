"""An application of Celery's as its users write them: nothing here knows of Farmhand."""

import time
from pathlib import Path
from typing import Any

from celery import Celery

app: Any = Celery("shop")
app.conf.update(broker_connection_retry_on_startup=True, task_send_sent_event=True)


def add(one: int, two: int) -> int:
    return one + two


def fail() -> None:
    raise ValueError("bad")


def flaky(self: Any) -> str:
    if self.request.retries < 1:
        raise self.retry(countdown=0.1)
    return "at last"


def hold(path: str) -> str:
    """Say that it runs, and run until the file has gone."""
    with Path(path + ".runs").open("a") as file:
        file.write(".")
    while Path(path).exists():
        time.sleep(0.02)
    return "let go"


for task in (add, fail, hold):
    app.task(name=f"shop.{task.__name__}")(task)
app.task(name="shop.late", acks_late=True)(hold)
app.task(name="shop.flaky", bind=True, max_retries=3)(flaky)
