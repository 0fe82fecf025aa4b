"""Debian and Ubuntu packages, unpacked into a directory of ours: nothing is installed, no right is needed.

apt's own tools do the work with the machine's own sources, keys and proxies, but with lists and a cache of their
own. Packages that the system has are not fetched again. Standard library only: `deploy/bootstrap` uses this before
there is a virtual environment.
"""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

#: What servers need of what their packages depend on: not service scripts, not Perl, not the 100 MB of Postgres' JIT;
#: never another C library than the one the system runs on.
_NEEDED = re.compile(r"^(rabbitmq-server|erlang-.+|postgresql-\d+|postgresql-client-\d+|lib.+)$")
_NEEDLESS = re.compile(r"^(libc6|libc-.+|lib(llvm|z3|perl|python3).*|lib.+-perl|.+-doc)$")
_INST = re.compile(r"^Inst (\S+) (?:\[\S+\] )?\((\S+)")
#: Hooks of the machine's own apt have no business here.
_APT_CONF = """
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State "{home}/apt/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "{home}/apt/cache";
Debug::NoLocking "1";
APT::Sandbox::User "{user}";
APT::Install-Recommends "0";
Acquire::Languages "none";
Acquire::Retries "3";
"""


class PackageError(Exception):
    """A package cannot be had; one line that says why."""


def available() -> bool:
    """Whether this machine has what it takes: apt and dpkg."""
    return bool(shutil.which("apt-get") and shutil.which("dpkg-deb"))


def unpack(
    name: str,
    home: Path,
    *,
    say: Callable[[str], None],
    finish: Callable[[Path, Path], None] = lambda _draft, _tree: None,
) -> Path:
    """The root of a tree with package *name* and what it needs, made under *home* if it is not there.

    `finish(draft, tree)` may change the *draft* before it becomes the *tree*: there is never half a tree.

    Raises:
        PackageError: no apt here, or apt failed.
    """
    tree = home / name
    if tree.is_dir():
        return tree
    if not available():
        raise PackageError(f"{name} is not on this machine, and there is no apt-get to fetch it with: install it")
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise PackageError(f"cannot write to {home}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.is_dir():
            say(f"fetching {name} (once, into {home}; nothing is installed into the system)")
            draft = _fetch(name, home)
            finish(draft, tree)
            draft.rename(tree)
    finally:
        os.close(lock)
    return tree


def _fetch(name: str, home: Path) -> Path:
    conf = _configure(home)
    _run(["apt-get", "-c", str(conf), "-qq", "update"])
    plan = _run(["apt-get", "-c", str(conf), "-s", "install", name])
    chosen = {match[1]: match[2] for match in map(_INST.match, plan.splitlines()) if match}
    needed = [
        f"{package}={version}"
        for package, version in chosen.items()
        if package == name or (_NEEDED.match(package) and not _NEEDLESS.match(package))
    ]
    debs, draft = home / "debs", home / f"{name}.part"
    for directory in (debs, draft):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
    _run(["apt-get", "-c", str(conf), "-qq", "download", *(needed if name in chosen else [name])], cwd=debs)
    for deb in sorted(debs.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(deb), str(draft)])
    draft.chmod(0o755)
    for done in (debs, home / "apt"):
        shutil.rmtree(done)
    return draft


def _configure(home: Path) -> Path:
    for part in ("state/lists/partial", "cache/archives/partial"):
        (home / "apt" / part).mkdir(parents=True, exist_ok=True)
    conf = home / "apt" / "apt.conf"
    user = "root" if os.geteuid() == 0 else ""
    conf.write_text(_APT_CONF.format(home=home, user=user))
    return conf


def _run(argv: list[str], cwd: Path | None = None) -> str:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()
        raise PackageError(f"{' '.join(argv[:1])} failed: {lines[0] if lines else f'status {done.returncode}'}")
    return done.stdout
