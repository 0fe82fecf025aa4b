"""A worker of Celery for `deaths`: its task says that it starts, and holds on."""

import os
import socket
import time

from celery import Celery

from coordinator.proof.peer_settings import Settings

app = Celery("bench", broker=Settings().broker)
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, broker_connection_retry_on_startup=True)


@app.task(name="hold")
def hold(port: int) -> None:
    """Say to *port* which process group this is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        mouth.sendto(str(os.getpgrp()).encode(), ("127.0.0.1", port))
    time.sleep(86400)
