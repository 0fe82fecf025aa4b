"""Stock Celery workers on this machine, beside a farm: for demonstrations and tests of farms of several protocols.

They see the versions of `stock_celery.txt` and their application, and nothing of ours: what they do with Farmhand is
what any Celery worker does.
"""

import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from coordinator.local.mixed.fetching import fetched
from coordinator.local.part import Part

_HERE: Final = Path(__file__).parent
#: The application here, with the task `sums.squares`.
APPLICATION: Final = "celery_app"


def packages(say: Callable[[str], None] = lambda _line: None) -> Path:
    """The directory with Celery and what it needs (`fetched`)."""
    return fetched("celery", Path(__file__).with_suffix(".txt"), say)


def environment(broker_url: str, application: Path = _HERE) -> Mapping[str, str]:
    """What a Celery process sees: Celery, the modules in *application*, its broker."""
    paths = os.pathsep.join((str(packages()), str(application)))
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": paths,
        "PYTHONDONTWRITEBYTECODE": "1",
        "CELERY_BROKER_URL": broker_url,
    }


def command(hostname: str, *options: str, module: str = APPLICATION) -> Sequence[str]:
    """The command of a worker of this node name (`name@host`)."""
    python = (sys.executable, "-P", "-S")
    return (*python, "-m", "celery", "-A", module, "worker", "-n", hostname, "-l", "info", *options)


def celery_worker(name: str, broker_url: str, directory: Path, *, pool: str = "prefork", concurrency: int = 2) -> Part:
    """A stock worker `name@this-machine` at the broker, not started yet; its log goes into *directory*.

    A coordinator with the gateway `celery` at the same broker finds it by itself.
    """
    argv = command(f"{name}@{platform.node() or 'localhost'}", "-P", pool, "-c", str(concurrency))
    return Part(name, argv, environment(broker_url), directory)
