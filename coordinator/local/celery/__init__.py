"""Stock Celery workers on this machine, beside a farm: for demonstrations and tests of farms of several protocols.

Celery comes from the registry that pip is configured with, in exactly the versions of `requirements.txt` and checked by
their hashes, once, into a directory of its own in the cache. Its workers see that directory and their application, and
nothing of ours: what they do with Farmhand is what any Celery worker does.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from coordinator.local.binaries import cache_directory
from coordinator.local.errors import LocalServiceError
from coordinator.local.part import Part

_HERE: Final = Path(__file__).parent
_LOCKED: Final = _HERE / "requirements.txt"
_FETCH_S: Final = 300
#: The application here: `demo.digest` and `demo.wait`.
TASKS: Final = "demo_tasks"


def packages(say: Callable[[str], None] = lambda _line: None) -> Path:
    """The directory with Celery and what it needs, fetched if it is not there.

    Raises:
        LocalServiceError: it cannot be fetched; one line that says why.
    """
    digest = hashlib.sha256(_LOCKED.read_bytes()).hexdigest()[:12]
    place = cache_directory() / "clients" / f"celery-{digest}"
    if place.is_dir():
        return place
    say(f"fetching Celery (once, into {place}; nothing is installed into this environment)")
    draft = place.with_name(f"{place.name}-{os.getpid()}")
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install")
    done = subprocess.run(
        [*pip, "--require-hashes", "--target", str(draft), "-r", str(_LOCKED)],
        capture_output=True, text=True, check=False, timeout=_FETCH_S,
    )  # fmt: skip
    if done.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        words = [line for line in done.stderr.splitlines() if line.strip()]
        raise LocalServiceError(f"pip cannot fetch Celery: {words[-1] if words else f'status {done.returncode}'}")
    try:
        draft.rename(place)
    except OSError:  # another process was first
        shutil.rmtree(draft)
    return place


def environment(broker_url: str, application: Path = _HERE) -> Mapping[str, str]:
    """What a Celery process sees: Celery, the modules in *application*, its broker."""
    paths = os.pathsep.join((str(packages()), str(application)))
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": paths,
        "PYTHONDONTWRITEBYTECODE": "1",
        "CELERY_BROKER_URL": broker_url,
    }


def command(hostname: str, *options: str, module: str = TASKS) -> Sequence[str]:
    """The command of a worker of this node name (`name@host`)."""
    python = (sys.executable, "-P", "-S")
    return (*python, "-m", "celery", "-A", module, "worker", "-n", hostname, "-l", "info", *options)


def celery_worker(name: str, broker_url: str, directory: Path, *, pool: str = "threads", concurrency: int = 2) -> Part:
    """A stock worker `name@this-machine` at the broker, not started yet; its log goes into *directory*.

    Its tasks are those of `demo_tasks`; a coordinator with the gateway `celery` at the same broker finds it by itself.
    """
    argv = command(f"{name}@{platform.node() or 'localhost'}", "-P", pool, "-c", str(concurrency))
    return Part(name, argv, environment(broker_url), directory)
