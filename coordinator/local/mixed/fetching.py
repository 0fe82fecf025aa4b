"""Packages of other farms, as the registry has them: fetched once, from locked requirements, installed nowhere."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from coordinator.local.binaries import cache_directory
from coordinator.local.errors import LocalServiceError

_FETCH_S: Final = 300


def fetched(name: str, locked: Path, say: Callable[[str], None] = lambda _line: None) -> Path:
    """The directory, for a PYTHONPATH, with what *locked* (a requirement file with hashes) names.

    Raises:
        LocalServiceError: it cannot be fetched; one line that says why.
    """
    digest = hashlib.sha256(locked.read_bytes()).hexdigest()[:12]
    place = cache_directory() / "clients" / f"{name}-{digest}"
    if place.is_dir():
        return place
    say(f"fetching {name} (once, into {place}; nothing is installed into this environment)")
    draft = place.with_name(f"{place.name}-{os.getpid()}")
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install")
    done = subprocess.run(
        [*pip, "--require-hashes", "--target", str(draft), "-r", str(locked)],
        capture_output=True, text=True, check=False, timeout=_FETCH_S,
    )  # fmt: skip
    if done.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        words = [line for line in done.stderr.splitlines() if line.strip()]
        raise LocalServiceError(f"pip cannot fetch {name}: {words[-1] if words else f'status {done.returncode}'}")
    try:
        draft.rename(place)
    except OSError:  # another process was first
        shutil.rmtree(draft)
    return place
