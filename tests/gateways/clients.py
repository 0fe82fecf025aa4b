"""The clients that other farms publish, as their registry has them: fetched once, from locked requirements."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from coordinator.local.binaries import cache_directory

_ROOT: Final = Path(__file__).parents[2]


def client(name: str) -> Path:
    """The directory of packages that `requirements/client-NAME.txt` names, for a PYTHONPATH."""
    locked = _ROOT / "requirements" / f"client-{name}.txt"
    digest = hashlib.sha256(locked.read_bytes()).hexdigest()[:12]
    place = cache_directory() / "clients" / f"{name}-{digest}"
    if not place.is_dir():
        draft = place.with_name(f"{place.name}-{os.getpid()}")
        pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install")
        subprocess.run([*pip, "--require-hashes", "--target", str(draft), "-r", str(locked)], check=True, timeout=110)
        try:
            draft.rename(place)
        except OSError:  # another process was first
            shutil.rmtree(draft)
    return place


def run(name: str, program: str, *arguments: str) -> str:
    """What *program* prints that has this client and nothing of ours."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(client(name)), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-P", "-S", "-c", program, *arguments],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
