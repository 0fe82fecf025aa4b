"""A worker of dramatiq for `deaths`: its task says that it starts, and holds on."""

import os
import socket
import time

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from coordinator.proof.peer_settings import Settings

dramatiq.set_broker(RabbitmqBroker(url=Settings().broker))


@dramatiq.actor(max_retries=0, time_limit=86_400_000)
def hold(port: int) -> None:
    """Say to *port* which process group this is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        mouth.sendto(str(os.getpgrp()).encode(), ("127.0.0.1", port))
    time.sleep(86400)
