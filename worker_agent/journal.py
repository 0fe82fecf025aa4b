"""The agent's memory over its own death: which attempts it holds, their reports, their processes (sqlite, WAL).

One transaction per plan, never one per task. `synchronous = NORMAL`: what is committed survives the death of the
process at any moment; a power cut may take the last moments, which costs a second run of those attempts and nothing
else. The file is locked while open, so that no two agents share one.

When a write fails (a full disk), new attempts of that plan are refused by the caller (`JournalError`); everything else
is kept and written, in order, before the next plan.
"""

import contextlib
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from schemas.task import Outcome, Phase
from worker_agent.plan import Plan, Ref, Work

SCHEMA_VERSION: Final = 1
_HELD, _REPORTED, _ACCEPTED, _ENDED = range(4)

_SCHEMA: Final = """
create table about (name text primary key, value text not null) without rowid;
-- state: 0 held, 1 reported, 2 accepted (to be promoted), 3 ended (remembered, so that it is never run again)
create table attempts (
    task integer not null, attempt integer not null, state integer not null,
    directory text, promote text, outcome text, report blob,
    primary key (task, attempt)
) without rowid;
create table processes (
    pid integer not null, started real not null, boot_id text not null, task integer not null, attempt integer not null,
    primary key (pid, started)
) without rowid;
"""
_TAKE: Final = "insert or ignore into attempts (task, attempt, state, directory, promote) values (?, ?, 0, ?, ?)"
_REPORT: Final = "update attempts set state = 1, outcome = ?, report = ? where task = ? and attempt = ?"
_ACCEPT: Final = "update attempts set state = 2 where task = ? and attempt = ?"
#: Without its directory: should its report be asked for again, no verdict on that one may delete anything.
_END: Final = (
    "update attempts set state = 3, report = null, directory = null, promote = null where task = ? and attempt = ?"
)
_BAR: Final = "insert or ignore into attempts (task, attempt, state) values (?, ?, 3)"
_PRUNE: Final = "delete from attempts where task = ? and attempt <= ? and state = 3"
_SPAWN: Final = "insert or replace into processes (task, attempt, pid, started, boot_id) values (?, ?, ?, ?, ?)"
_REAP: Final = "delete from processes where pid = ? and started = ?"

Write = tuple[str, Sequence[tuple[Any, ...]]]


class JournalError(Exception):
    """The journal cannot be opened or written; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A process that was started for an attempt: `started` is its start time as psutil gives it."""

    task: int
    attempt: int
    pid: int
    started: float
    boot_id: str


class Journal:
    """The open journal in *directory* (made when missing). Raises `JournalError` when it cannot be used."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "journal.sqlite"
        self._unwritten: list[Write] = []
        self.failing = False
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=0.2, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise JournalError(self._explain(error)) from None
        try:
            self._open()
        except sqlite3.Error as error:
            self._db.close()
            raise JournalError(self._explain(error)) from None
        except JournalError:
            self._db.close()
            raise

    def _open(self) -> None:
        db = self._db
        db.execute("pragma locking_mode = exclusive")
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = normal")
        db.execute("begin immediate")
        (version,) = db.execute("pragma user_version").fetchone()
        if version == 0:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.execute("insert into about values ('mark', ?)", (uuid4().hex,))
            db.execute(f"pragma user_version = {SCHEMA_VERSION}")
        db.execute("commit")
        if version > SCHEMA_VERSION:
            raise JournalError(
                f"{self.path} was written by a newer agent (version {version}): install that one, or move the file away"
            )
        (self.mark,) = db.execute("select value from about where name = 'mark'").fetchone()

    def close(self) -> None:
        """Write what is left, and let others have it."""
        with contextlib.suppress(JournalError):
            self.write(())
        self._db.close()

    # --- reading, once, at the start -------------------------------------------------------------------------

    def works(self) -> list[Work]:
        """What is held, reported or accepted, as the machine takes it back (`Machine.recover`)."""
        found = []
        rows = self._db.execute("select * from attempts where state < 3 order by task, attempt")
        for task, attempt, state, directory, promote, outcome, report in rows:
            work = Work(task, attempt, directory=directory, promote=promote)
            if state != _HELD:
                work.phase, work.outcome, work.report = Phase.FINISHED, Outcome(outcome), report
            work.accepted = state == _ACCEPTED
            found.append(work)
        return found

    def ended(self) -> list[Ref]:
        """What is remembered, so that it is never run again."""
        return list(self._db.execute("select task, attempt from attempts where state = 3 order by task, attempt"))

    def processes(self) -> list[ProcessRow]:
        """The processes of a former life, and forget them: the caller ends them."""
        rows = self._db.execute("select task, attempt, pid, started, boot_id from processes").fetchall()
        return [ProcessRow(*row) for row in rows]

    def forget_processes(self) -> None:
        """They have been ended."""
        self.write([("delete from processes", [()])])

    # --- writing ------------------------------------------------------------------------------------------------

    def apply(self, plan: Plan) -> None:
        """Write the plan's part for the journal in one transaction. On `JournalError` the attempts in `plan.taken` are
        not in the journal and must not run; the rest will be written with the next plan."""
        writes: list[Write] = []
        if plan.reported:
            writes.append((_REPORT, [(w.outcome, w.report, w.task, w.attempt) for w in plan.reported]))
        if plan.accepted:
            writes.append((_ACCEPT, [w.ref for w in plan.accepted]))
        if plan.ended:
            writes.append((_END, plan.ended))
        if plan.barred:
            writes.append((_BAR, plan.barred))
        if plan.pruned:
            writes.append((_PRUNE, plan.pruned))
        if plan.taken:
            self.write(writes, first=(_TAKE, [(w.task, w.attempt, w.directory, w.promote) for w in plan.taken]))
        elif writes:
            self.write(writes)

    def spawned(self, row: ProcessRow) -> None:
        """A process runs; at once in the journal."""
        self.write([(_SPAWN, [(row.task, row.attempt, row.pid, row.started, row.boot_id)])])

    def reaped(self, pid: int, started: float) -> None:
        """Kept for the next transaction: a process that is listed too long does no harm."""
        self._unwritten.append((_REAP, [(pid, started)]))

    def write(self, writes: Sequence[Write], *, first: Write | None = None) -> None:
        """*writes* after those that could not be written before; *first* is not kept when it fails."""
        pending = [*self._unwritten, *writes]
        if not pending and first is None:
            return
        db = self._db
        try:
            db.execute("begin immediate")
            if first is not None:
                db.executemany(*first)
            for sql, rows in pending:
                db.executemany(sql, rows)
            db.execute("commit")
        except sqlite3.Error as error:
            if db.in_transaction:
                db.execute("rollback")
            self._unwritten = pending
            self.failing = True
            raise JournalError(self._explain(error)) from None
        self._unwritten = []
        self.failing = False

    def probe(self) -> bool:
        """Whether it can be written again, after a failure."""
        try:
            self.write((), first=("insert or replace into about values ('probed', ?)", [(str(time.time()),)]))
        except JournalError:
            return False
        return True

    def _explain(self, error: Exception) -> str:
        if "locked" in str(error):
            return f"{self.path} is in use by another agent: stop it, or give this one its own --data-dir"
        return f"the agent's journal {self.path} cannot be written ({error}): free space there, or set --data-dir"
