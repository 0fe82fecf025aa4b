"""A Celery application as there are many; nothing of it knows of Farmhand.

CELERY_BROKER_URL=amqp://… celery -A celery_app worker
"""

from typing import Any

from celery import Celery
from part import squares  # type: ignore[import-not-found]  # which lies beside it

app: Any = Celery("sums", broker_connection_retry_on_startup=True)
app.task(name="sums.squares")(squares)
