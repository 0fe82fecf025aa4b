"""A cluster of three RabbitMQ nodes on this machine, each of which may be killed and started again."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coordinator.local import binaries
from coordinator.local.ports import free_port
from coordinator.local.rabbitmq import PrivateRabbit, RabbitPorts

NODES = ("one@localhost", "two@localhost", "three@localhost")
FORMATION = {"cluster_formation.peer_discovery_backend": "classic_config"} | {
    f"cluster_formation.classic_config.nodes.{number}": node for number, node in enumerate(NODES, 1)
}


@contextmanager
def cluster(directory: Path) -> Iterator[dict[str, PrivateRabbit]]:
    """The nodes by name, all in one cluster; gone afterwards."""
    cache = binaries.cache_directory()
    found = binaries.find_rabbitmq(cache) or binaries.fetch_rabbitmq(cache, print)
    cookie, password, epmd = secrets.token_hex(20), secrets.token_hex(8), free_port()
    nodes = {}
    for node in NODES:
        home = directory / node.partition("@")[0]
        home.mkdir()
        (home / ".erlang.cookie").write_text(cookie)
        (home / ".erlang.cookie").chmod(0o600)
        ports = RabbitPorts(free_port(), free_port(), free_port(), epmd, free_port())
        nodes[node] = PrivateRabbit(
            found, home, ports=ports, password=password, plugins=(), node=node, settings=FORMATION
        )
    try:
        for server in nodes.values():
            server.spawn()
        for server in nodes.values():
            server.wait_ready()
        yield nodes
    finally:
        for server in nodes.values():
            server.kill()
        for server in nodes.values():
            server.stop()
