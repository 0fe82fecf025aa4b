"""Makes `.venv` from the locked requirements, on a machine that has nothing but Python, git and make.

`make` runs it before everything else; when nothing has changed it returns at once. It writes into this checkout only:
where the system's Python comes without pip (Debian, Ubuntu), pip is unpacked from the distribution's own package, with
the machine's own sources. pip then uses whatever index it is configured with. Standard library only.

    python3 deploy/bootstrap.py         make or refresh .venv
    PYTHON=/usr/bin/python3.12 make …   with another interpreter
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PRIVATE = ROOT / ".farmhand"
STAMP = VENV / "farmhand-stamp"
LOCKED = [ROOT / "requirements" / name for name in ("build.txt", "dev.txt")]
OLDEST, NEWEST = (3, 11), (3, 13)


def main() -> None:
    """Make the environment unless it is as it should be."""
    _have_a_fit_python()
    if _is_fresh():
        return
    PRIVATE.mkdir(exist_ok=True)
    with (PRIVATE / "bootstrap.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_fresh():
            _set_up()


def _have_a_fit_python() -> None:
    """Go on in another interpreter when this one is too old or too new."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        fit = shutil.which(f"python3.{minor}")
        if fit:
            os.execv(fit, [fit, *sys.argv])  # noqa: S606 - the same script
    have = ".".join(map(str, sys.version_info[:2]))
    _give_up(f"Python 3.{OLDEST[1]} to 3.{NEWEST[1]} is needed, this is {have}: install one, or say PYTHON=/path/to/it")


def _is_fresh() -> bool:
    return STAMP.is_file() and STAMP.read_text() == _digest()


def _digest() -> str:
    """What the environment depends on: interpreter, place, locked requirements, our own metadata."""
    import tomllib  # noqa: PLC0415 - only in a Python that is new enough

    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())
    metadata = json.dumps([ours["project"], ours["build-system"], ours["tool"]["hatch"]], sort_keys=True)
    digest = hashlib.sha256("\n".join([sys.version, sys.base_prefix, str(ROOT), metadata]).encode())
    for path in LOCKED:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _set_up() -> None:
    python = VENV / "bin" / "python"
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    _say(f"setting up {VENV.name} with Python {version} (once; a minute or two)")
    STAMP.unlink(missing_ok=True)
    if not _works(python, "import sys; sys.exit(sys.version_info[:2] != " + str(tuple(sys.version_info[:2])) + ")"):
        shutil.rmtree(VENV, ignore_errors=True)
        _run([sys.executable, "-m", "venv", "--without-pip", str(VENV)])
    if not _works(python, "import pip"):
        _install_pip(python)
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install"]
    locked = [word for path in LOCKED for word in ("-r", str(path))]
    # The lists are complete, so nothing has to be resolved; what is imported gets compiled when it is.
    _run([*pip, "--no-deps", "--no-compile", "--require-hashes", "--only-binary", ":all:", *locked])
    _run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)])
    STAMP.write_text(_digest())


def _install_pip(python: Path) -> None:
    if importlib.util.find_spec("ensurepip") and _works(python, "import ensurepip; ensurepip.bootstrap()"):
        return
    sys.path.insert(0, str(ROOT))
    from coordinator.local import packages  # noqa: PLC0415 - standard library only, for this very use

    try:
        tree = packages.unpack("python3-pip-whl", PRIVATE / "packages", say=_say)
    except packages.PackageError as error:
        _give_up(f"this Python has no pip ({error}): install python3-venv, or say PYTHON=/path/to/another")
    wheel = next(tree.glob("usr/share/python-wheels/pip-*.whl"))
    _run([str(python), "-m", "pip", "--quiet", "install", "--no-index", str(wheel)], PYTHONPATH=str(wheel))


def _works(python: Path, code: str) -> bool:
    if not python.exists():
        return False
    return subprocess.run([str(python), "-c", code], capture_output=True, check=False).returncode == 0


def _run(argv: list[str], **variables: str) -> None:
    done = subprocess.run(argv, cwd=ROOT, env={**os.environ, **variables}, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        _give_up(f"failed: {' '.join(argv)}")


def _say(line: str) -> None:
    print(f"bootstrap: {line}", file=sys.stderr, flush=True)


def _give_up(line: str) -> NoReturn:
    sys.exit(f"bootstrap: {line}")


if __name__ == "__main__":
    main()
