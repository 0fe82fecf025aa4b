"""Where the programs of RabbitMQ and Postgres are: on this machine, or in packages that we unpack.

Found ones come with the environment they need to run in, which is otherwise empty: no variable of the
caller's (RABBITMQ_…, PG…, ERL_…) may change what a private server does.
"""

import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

from coordinator.local import packages
from coordinator.local.errors import LocalServiceError

_SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OLDEST_POSTGRES: Final = 13


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """`initdb` and `postgres` lie in *bin*."""

    bin: Path
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RabbitBinaries:
    """The scripts `rabbitmq-server` and `rabbitmqctl` that do not care who runs them, and Erlang's `epmd`."""

    server: Path
    ctl: Path
    epmd: Path
    env: Mapping[str, str]


def cache_directory() -> Path:
    """Where unpacked packages are kept: shared by all checkouts of this user; readable by all when we are root."""
    return Path("/var/cache/farmhand") if os.geteuid() == 0 else platformdirs.user_cache_path("farmhand")


def find_postgres(cache: Path) -> PostgresBinaries | None:
    """Postgres on this machine, the newest, or what was unpacked under *cache* before."""
    tree = cache / "postgresql"
    for root in (Path("/"), tree):
        homes = [*root.glob("usr/lib/postgresql/*/bin"), *root.glob("usr/pgsql-*/bin")]
        for home in sorted(homes, key=_version, reverse=True):
            if _version(home) >= _OLDEST_POSTGRES and (home / "initdb").exists() and (home / "postgres").exists():
                return PostgresBinaries(home, _environment(root))
    initdb = shutil.which("initdb")
    if initdb is None:
        return None
    home = Path(initdb).resolve().parent
    return PostgresBinaries(home, _environment(Path("/"))) if (home / "postgres").exists() else None


def find_rabbitmq(cache: Path) -> RabbitBinaries | None:
    """RabbitMQ on this machine, or what was unpacked under *cache* before."""
    for root in (Path("/"), cache / "rabbitmq-server"):
        env = _environment(root)
        epmd = shutil.which("epmd", path=env["PATH"])
        for home in (root / "usr/lib/rabbitmq/bin", root / "opt/rabbitmq/sbin"):
            if epmd and (home / "rabbitmq-server").exists():
                return RabbitBinaries(home / "rabbitmq-server", home / "rabbitmqctl", Path(epmd), env)
    return None


def fetch_postgres(cache: Path, say: Callable[[str], None]) -> PostgresBinaries:
    """Unpack Postgres under *cache*."""
    try:
        packages.unpack("postgresql", cache, say=say)
    except packages.PackageError as error:
        raise LocalServiceError(str(error)) from None
    found = find_postgres(cache)
    if found is None:
        raise LocalServiceError("the postgresql package holds no server: install PostgreSQL 13 or newer")
    return found


def fetch_rabbitmq(cache: Path, say: Callable[[str], None]) -> RabbitBinaries:
    """Unpack RabbitMQ and the Erlang it needs under *cache*."""
    try:
        packages.unpack("rabbitmq-server", cache, say=say, finish=_root_erlang)
    except packages.PackageError as error:
        raise LocalServiceError(str(error)) from None
    found = find_rabbitmq(cache)
    if found is None:
        raise LocalServiceError("the rabbitmq-server package holds no server: install RabbitMQ 3.10 or newer")
    return found


def _root_erlang(draft: Path, tree: Path) -> None:
    """Tell Erlang's start scripts where they will lie: they hold their root as a constant."""
    for script in draft.glob("usr/lib/erlang/bin/*"):
        if script.is_symlink() or script.read_bytes()[:2] != b"#!":
            continue
        text = script.read_text()
        script.write_text(re.sub(r"^(\s*ROOTDIR)=.*$", rf'\1="{tree}/usr/lib/erlang"', text, flags=re.MULTILINE))


def _environment(root: Path) -> dict[str, str]:
    environment = {"PATH": _SYSTEM_PATH, "LANG": "C.UTF-8", "TZ": "GMT"}
    if root != Path("/"):
        libraries = [*root.glob("usr/lib/*-linux-gnu*"), *root.glob("lib/*-linux-gnu*")]
        environment["LD_LIBRARY_PATH"] = ":".join(map(str, libraries))
        environment["PATH"] = f"{root}/usr/lib/erlang/bin:{root}/usr/bin:{_SYSTEM_PATH}"
    return environment


def _version(home: Path) -> int:
    digits = re.search(r"\d+", str(home.parent.name))
    return int(digits[0]) if digits else 0
