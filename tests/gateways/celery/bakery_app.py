"""Another application on the same broker: its own name, its own default queue, its own tasks."""

from typing import Any

from celery import Celery

app: Any = Celery("bakery")
app.conf.update(broker_connection_retry_on_startup=True, task_default_queue="bakery")


def bake(loaves: int) -> int:
    return loaves * 2


app.task(name="bakery.bake")(bake)
