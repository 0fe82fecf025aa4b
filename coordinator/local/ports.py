"""Free ports on loopback, that stay free while a server is down.

Ports that the kernel gives to outgoing connections are avoided: a client that retries against a stopped server on such
a port can connect to itself, and then the server cannot come back.
"""

import random
import socket
from pathlib import Path
from typing import Final

from coordinator.local.errors import LocalServiceError

LOOPBACK: Final = "127.0.0.1"
_LOWEST: Final = 10_240


def _highest() -> int:
    try:
        first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first_outgoing = 32_768
    return first_outgoing - 1 if first_outgoing > _LOWEST + 1_000 else 65_535


def is_free(port: int) -> bool:
    """Whether a server could listen on *port* now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that nothing listens on."""
    highest = _highest()
    for _ in range(200):
        port = random.randint(_LOWEST, highest)
        if is_free(port):
            return port
    raise LocalServiceError(f"no free port between {_LOWEST} and {highest} on {LOOPBACK}: stop some servers")
