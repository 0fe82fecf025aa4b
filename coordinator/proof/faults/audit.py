"""What became of a run: read from the database, from what programs wrote while they ran, and from what is published.

Nothing that the farm says of itself is believed where somebody else saw it: who ran when is in the programs' book,
whatever the rows say; what was promoted is in the file.
"""

import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import asyncpg

from coordinator.proof.faults.stage import Stage
from coordinator.proof.faults.work import Given
from coordinator.storage.invariants import broken

_ATTEMPTS: Final = """
SELECT t.id AS task, s.name, t.state, t.reason, t.id - s.first_task AS index, a.attempt, a.worker_id AS worker,
       a.accepted, a.ending
  FROM tasks t JOIN specs s ON s.id = t.spec_id LEFT JOIN attempts a ON a.task_id = t.id
 WHERE t.job_id = $1 ORDER BY t.id, a.attempt
"""
_TOLD_TWICE: Final = """
SELECT task_id AS task, count(*) FROM history
 WHERE job_id = $1 AND event = 'task.completed' GROUP BY task_id HAVING count(*) > 1
"""
_PARKED: Final = "SELECT id, routing_key, reason, detail FROM parked WHERE state = 'parked' AND id > $1 ORDER BY id"
#: Bytes by which the logs of two lives differ: the first line says when.
_HEAD: Final = 200
#: Words in the log of a process that nobody expects, whatever is done to its surroundings.
_UNEXPECTED: Final = ("Traceback", "event_failed", "request_failed", "duty_failed", "message_parked", "was never")


@dataclass
class Findings:
    """What is wrong with a run (nothing, one hopes), each with words."""

    tasks: int = 0
    lost: int = 0
    accepted_twice: int = 0
    overlaps: int = 0
    others: list[str] = field(default_factory=list)

    @property
    def any(self) -> bool:
        """Whether something is wrong."""
        return bool(self.lost or self.accepted_twice or self.overlaps or self.others)

    def add(self, other: "Findings") -> None:
        """Both together."""
        self.tasks += other.tasks
        self.lost += other.lost
        self.accepted_twice += other.accepted_twice
        self.overlaps += other.overlaps
        self.others += other.others


@dataclass
class Execution:
    """One process of a program: from its first to its last line."""

    task: int
    attempt: int
    worker: str
    begin: float
    last: float
    ended: bool = False


def executions(book: Path) -> list[Execution]:
    """All that is in the programs' book."""
    found: dict[tuple[str, ...], Execution] = {}
    for line in book.read_text().splitlines() if book.exists() else ():
        word, task, attempt, worker, pid, at = line.split()
        one = found.setdefault(
            (task, attempt, worker, pid), Execution(int(task), int(attempt), worker, float(at), float(at))
        )
        one.last, one.ended = float(at), word == "end"
    return list(found.values())


def overlaps(some: Sequence[Execution]) -> list[tuple[Execution, Execution]]:
    """Pairs of executions of one task at one time."""
    by_task: defaultdict[int, list[Execution]] = defaultdict(list)
    for one in some:
        by_task[one.task].append(one)
    return [
        (one, other)
        for executed in by_task.values()
        for one, other in pairwise(sorted(executed, key=lambda each: each.begin))
        if other.begin <= one.last
    ]


class Auditor:
    """Audits one stage, run by run."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._parked = 0
        self._read: dict[tuple[int, bytes], int] = {}

    async def job(self, given: Given) -> Findings:
        """What is wrong with one job."""
        found = Findings()
        async with self._stage.database() as connection:
            rows = await connection.fetch(_ATTEMPTS, given.job)
            self._rows(rows, found)
            for row in await connection.fetch(_TOLD_TWICE, given.job):
                found.accepted_twice += 1
                found.others.append(f"task {row['task']} completed {row['count']} times in the history")
        self._book(rows, executions(given.work.book), found)
        self._published(rows, given.number, found)
        return found

    async def farm(self) -> Findings:
        """What is wrong with the farm since the last look, whatever the job."""
        found = Findings()
        async with self._stage.database() as connection:
            await self._invariants(connection, found)
        self._logs(found)
        return found

    def _rows(self, rows: Sequence[Any], found: Findings) -> None:
        states = {row["task"]: row["state"] for row in rows}
        accepted: defaultdict[int, int] = defaultdict(int)
        for row in rows:
            accepted[row["task"]] += bool(row["accepted"])
        found.tasks = len(states)
        for task, state in states.items():
            if state != "completed":
                found.lost += 1
                reason = next(row["reason"] for row in rows if row["task"] == task)
                found.others.append(f"task {task} is {state} ({reason})")
            found.accepted_twice += accepted[task] > 1

    async def _invariants(self, connection: asyncpg.Connection, found: Findings) -> None:
        for row in await connection.fetch(_PARKED, self._parked):
            self._parked = row["id"]
            found.others.append(f"parked: {row['routing_key']} {row['reason']} {row['detail']}")
        violations, unknown = await broken(connection)
        found.others += [f"{one.invariant}: {one.row}" for one in violations]
        found.others += [f"{name} could not be checked" for name in unknown]

    def _book(self, rows: Sequence[Any], executed: Sequence[Execution], found: Findings) -> None:
        """Whoever ran was given it; whoever is accepted ran to its end; nobody exclusive ran beside another."""
        given = {(row["task"], row["attempt"]): row["worker"] for row in rows}
        kinds = {row["task"]: row["name"] for row in rows}
        for one in executed:
            if given.get((one.task, one.attempt)) != one.worker:
                found.others.append(f"ran unasked: {one}")
        done = {(one.task, one.attempt) for one in executed if one.ended}
        for row in rows:
            if row["accepted"] and row["name"] in ("program", "only") and (row["task"], row["attempt"]) not in done:
                found.others.append(f"accepted without an end: task {row['task']} attempt {row['attempt']}")
        for one, other in overlaps([each for each in executed if kinds.get(each.task) == "only"]):
            found.overlaps += 1
            found.others.append(f"at the same time: {one} and {other}")

    def _published(self, rows: Sequence[Any], run: int, found: Findings) -> None:
        for row in rows:
            if row["name"] == "program" and row["accepted"] and row["worker"] not in self._stage.gone:
                path = self._stage.farm.published / f"run-{run}" / str(row["index"]) / "made.txt"
                said = path.read_text() if path.exists() else "nothing"
                if said != f"{row['task']} {row['attempt']}":
                    found.others.append(f"published is {said}, accepted is {row['task']} {row['attempt']}")

    def _logs(self, found: Findings) -> None:
        """What the processes logged since the last look, their lives before the newest one included."""
        for path in sorted(self._stage.farm.logs.glob("*.log*")):
            found.others += [f"{path.name}: {line[:600]}" for line in self._news(path) if _is_unexpected(line)]

    def _news(self, path: Path) -> list[str]:
        with path.open("rb") as file:
            # Files are renamed, and the inode of one that is gone is used again: but none begins like another.
            key = (os.fstat(file.fileno()).st_ino, file.read(_HEAD))
            read = self._read.get(key, 0)
            file.seek(read)
            news = file.read()
        self._read[key] = read + len(news)
        return news.decode(errors="replace").splitlines()


def _is_unexpected(line: str) -> bool:
    if any(word in line for word in _UNEXPECTED):
        return True
    try:
        return bool(json.loads(line).get("level") in ("error", "critical"))
    except (ValueError, AttributeError):
        return False


def open_in_journals(home: Path, gone: Collection[str] = ()) -> list[str]:
    """What agents that have ended still hold or have reported without an answer; *home* is where their journals are."""
    left = []
    for path in sorted(home.glob("*/journal.sqlite")):
        if path.parent.name in gone:
            continue
        database = sqlite3.connect(path)
        try:
            for task, attempt, state in database.execute("select task, attempt, state from attempts where state < 3"):
                left.append(f"{path.parent.name}: task {task} attempt {attempt} is left in state {state}")
        finally:
            database.close()
    return left
