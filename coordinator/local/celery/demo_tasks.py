"""An application of Celery's as its users write them: nothing here knows of Farmhand."""

import hashlib
import time
from typing import Any

from celery import Celery

#: Its broker is CELERY_BROKER_URL.
app: Any = Celery("demo")
app.conf.update(broker_connection_retry_on_startup=True)


def digest(text: str, rounds: int = 1) -> str:
    """The SHA-256 of *text*, taken so many times."""
    value = text.encode()
    for _ in range(rounds):
        value = hashlib.sha256(value).digest()
    return value.hex()


def wait(seconds: float) -> float:
    """Take so long."""
    time.sleep(seconds)
    return seconds


for task in (digest, wait):
    app.task(name=f"demo.{task.__name__}")(task)
