"""The clients that other farms publish, as their registry has them: fetched once, from locked requirements."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from coordinator.local.mixed.fetching import fetched

_ROOT: Final = Path(__file__).parents[2]


def client(name: str) -> Path:
    """The directory of packages that `requirements/client-NAME.txt` names, for a PYTHONPATH."""
    return fetched(name, _ROOT / "requirements" / f"client-{name}.txt")


def run(name: str, program: str, *arguments: str) -> str:
    """What *program* prints that has this client and nothing of ours."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(client(name)), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-P", "-S", "-c", program, *arguments],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
