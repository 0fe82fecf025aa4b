"""A private Postgres: one cluster in one directory, on a loopback port, with a password.

May be killed and started again on the same directory and port. `durable=False` gives up fsync: for tests only.
"""

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Final

from coordinator.local.accounts import account_for
from coordinator.local.binaries import PostgresBinaries
from coordinator.local.errors import LocalServiceError
from coordinator.local.ports import LOOPBACK
from coordinator.local.processes import Account, Child, Program, run

USER: Final = "farmhand"
DATABASE: Final = "farmhand"
_READY_S: Final = 60.0
_SETTINGS: Final = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
# Our statements are short: compiling them costs more than it saves.
jit = off
timezone = 'GMT'
log_timezone = 'GMT'
log_min_messages = warning
"""
_CARELESS: Final = """
fsync = off
full_page_writes = off
synchronous_commit = off
"""


class PrivatePostgres:
    """One Postgres server."""

    def __init__(
        self, binaries: PostgresBinaries, directory: Path, *, port: int, password: str, durable: bool = True
    ) -> None:
        """A server that keeps its data under *directory*."""
        self._binaries = binaries
        self._directory = directory
        self._data = directory / "data"
        self._password = password
        self._durable = durable
        self._account: Account | None = None
        self._child: Child | None = None
        self.port = port

    @property
    def url(self) -> str:
        """Where, as whom, and which database."""
        return f"postgresql://{USER}:{self._password}@{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def pid(self) -> int | None:
        """The process id of the server, while it runs."""
        return self._child.pid if self._child and self._child.running else None

    def spawn(self) -> None:
        """Start it, made anew if there is none yet; `wait_ready` says when it answers."""
        self._account = account_for(self._directory, self._binaries.bin)
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._account:
            os.chown(self._directory, self._account.uid, self._account.gid)
        if not (self._data / "PG_VERSION").exists():
            self._create()
        self._check_version()
        settings = _SETTINGS + f"port = {self.port}\n" + ("" if self._durable else _CARELESS)
        self._write(self._data / "farmhand.conf", settings)
        config = f"config_file={self._data / 'postgresql.conf'}"
        self._child = Child(
            self._program("postgres", "-D", str(self._data), "-c", config, death=signal.SIGQUIT),
        )

    def wait_ready(self) -> None:
        """Return when it accepts connections.

        Raises:
            LocalServiceError: it ended instead, or takes too long.
        """
        if self._child is None:
            raise LocalServiceError("Postgres was not started")
        deadline = time.monotonic() + _READY_S
        while not self._says_ready():
            if not self._child.running:
                raise self._child.failure("ended while starting")
            if time.monotonic() > deadline:
                raise self._child.failure(f"was not ready after {_READY_S:.0f} s")
            time.sleep(0.01)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.spawn()
        self.wait_ready()

    def stop(self) -> None:
        """End it and its connections in good order; the data stays."""
        if self._child:
            self._child.stop(signal.SIGINT)

    def kill(self) -> None:
        """End it as a power cut would: all its processes at once."""
        if self._child:
            self._child.kill()

    def restart(self) -> None:
        """Start it again on the same directory and port, after `stop`, `kill` or as it is."""
        self.stop()
        self.start()

    def _create(self) -> None:
        draft = self._directory / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        secret = self._directory / "password"
        self._write(secret, self._password)
        sync = [] if self._durable else ["--no-sync"]
        access = ["-U", USER, "-A", "scram-sha-256", "--pwfile", str(secret)]
        try:
            run(self._program("initdb", "-D", str(draft), "-E", "UTF8", "--locale=C", *access, *sync))
        finally:
            secret.unlink()
        with (draft / "postgresql.conf").open("a") as conf:
            conf.write("include = 'farmhand.conf'\n")
        self._write(draft / "farmhand.conf", _SETTINGS)
        single = ["--single", "-D", str(draft), "-c", "log_checkpoints=off", "postgres"]
        run(self._program("postgres", *single), f"CREATE DATABASE {DATABASE} OWNER {USER}\n")
        draft.rename(self._data)

    def _check_version(self) -> None:
        ours = (self._data / "PG_VERSION").read_text().strip()
        theirs = self._binaries.bin.parent.name
        if theirs.isdigit() and ours != theirs:
            raise LocalServiceError(
                f"{self._data} was made by Postgres {ours}, this is {theirs}: install {ours}, or carry the data over "
                "with pg_upgrade"
            )

    def _program(self, name: str, *words: str, death: signal.Signals = signal.SIGKILL) -> Program:
        log = self._directory / f"{name}.log"
        argv = [str(self._binaries.bin / name), *words]
        return Program(f"Postgres ({name})", argv, self._binaries.env, log, self._account, death)

    def _write(self, path: Path, text: str) -> None:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        if self._account:
            os.chown(path, self._account.uid, self._account.gid)

    def _says_ready(self) -> bool:
        """What pg_ctl looks at: the eighth line of the lock file, of this process."""
        assert self._child is not None  # noqa: S101 - asked by wait_ready only
        with contextlib.suppress(OSError, IndexError):
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            return lines[0].strip() == str(self._child.pid) and lines[7].strip() == "ready"
        return False
