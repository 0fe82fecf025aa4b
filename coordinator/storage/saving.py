"""Writes back what a ledger holds dirty: one statement per table, whatever the number of rows."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from coordinator.domain.task import TaskState
from coordinator.operations.ledger import Ledger
from coordinator.storage import blocking, calling, guarding, rows, tending, tokens
from coordinator.storage.queries import load

SAVE = load("save")


async def save(connection: asyncpg.Connection, ledger: Ledger) -> None:
    """Write what is dirty and forget that it was."""
    await tending.save(connection, ledger)
    await guarding.save(connection, ledger)
    await _workers(connection, ledger)
    if ledger.new_attempts:
        await connection.copy_records_to_table(
            "attempts",
            records=[rows.attempt_record(one) for one in ledger.new_attempts],
            columns=rows.ATTEMPT_COLUMNS,
        )
        ledger.new_attempts.clear()
    await _leases(connection, ledger)
    await _hot(connection, ledger)
    await _attempts(connection, ledger)
    await _watched(connection, ledger)
    await _tasks(connection, ledger)
    await _jobs(connection, ledger)
    await blocking.save_marks(connection, ledger)
    await _groups(connection, ledger, ledger.dirty_groups)
    await _rules(connection, ledger)


async def save_held(connection: asyncpg.Connection, ledger: Ledger) -> None:
    """Write the counts of what is held, where nothing else of a group has changed."""
    await _groups(connection, ledger, ledger.ruling.unsaved_held)


async def _groups(connection: asyncpg.Connection, ledger: Ledger, changed: set[int]) -> None:
    if changed:
        groups = [ledger.groups[one] for one in sorted(changed)]
        await connection.execute(
            SAVE["groups"],
            [group.id for group in groups],
            [group.ready for group in groups],
            [group.held for group in groups],
        )
        ledger.ruling.unsaved_held -= changed
        changed.clear()


async def _rules(connection: asyncpg.Connection, ledger: Ledger) -> None:
    """What people have set."""
    if ledger.ruling.dirty_jobs:
        jobs = [ledger.jobs[one] for one in sorted(ledger.ruling.dirty_jobs)]
        records = [
            (job.id, job.task_limit, job.limit_set_at, job.paused_at, job.paused_by, job.pause_reason) for job in jobs
        ]
        await connection.execute(SAVE["job_rules"], *_columns(6, records))
        ledger.ruling.dirty_jobs.clear()
    for statement, parameters in ledger.ruling.changes[ledger.ruling.saved :]:
        await connection.execute(SAVE[statement], *parameters)
    ledger.ruling.saved = len(ledger.ruling.changes)


async def finish(connection: asyncpg.Connection, ledger: Ledger) -> None:
    """Write what is only ever added, and the counts that nothing else had to write."""
    await save_held(connection, ledger)
    if ledger.ruling.turns:
        await connection.execute(
            SAVE["turns"],
            [queue for queue, _ in ledger.ruling.turns],
            [submitter for _, submitter in ledger.ruling.turns],
            list(ledger.ruling.turns.values()),
        )
    if ledger.outputs:
        await connection.execute(
            SAVE["outputs"],
            *_columns(
                8,
                [
                    (task, number, file.name, file.size, file.digest, file.media_type, file.stored, location)
                    for task, number, file, location in ledger.outputs
                ],
            ),
        )
    if ledger.parkings:
        await connection.execute(
            SAVE["parkings"],
            *_columns(
                9,
                [
                    (
                        one.delivery.queue,
                        one.delivery.routing_key,
                        one.delivery.body,
                        _plain(one.delivery.headers),
                        one.delivery.user_id,
                        one.delivery.message_id,
                        one.reason,
                        one.field,
                        one.detail[:2000],
                    )
                    for one in ledger.parkings
                ],
            ),
        )
    if ledger.closed_parked:
        await connection.execute(SAVE["close_parked"], ledger.now, *_columns(3, ledger.closed_parked))
    if ledger.duties_run:
        await connection.execute(SAVE["duties"], ledger.now, sorted(ledger.duties_run))
    if ledger.new_tokens or ledger.revoked_tokens:
        await tokens.save(connection, ledger)
    if ledger.history:
        now = ledger.now
        await connection.copy_records_to_table(
            "history",
            records=[(now, *entry) for entry in ledger.history],
            columns=("at", "event", "job_id", "task_id", "attempt", "worker_id", "actor", "detail"),
        )


async def _workers(connection: asyncpg.Connection, ledger: Ledger) -> None:
    for name in sorted(ledger.dirty_workers):
        # Workers change seldom; heartbeats do not come here.
        await connection.execute(SAVE["worker"], *rows.worker_values(ledger.workers[name]), ledger.now)
    ledger.dirty_workers.clear()
    if ledger.seen_workers:
        names = sorted(ledger.seen_workers)
        epochs = [ledger.workers[name].epoch for name in names]
        await connection.execute(SAVE["seen"], ledger.now, names, epochs, [ledger.seen_workers[name] for name in names])
        ledger.seen_workers.clear()
    await calling.save(connection, ledger)


async def _hot(connection: asyncpg.Connection, ledger: Ledger) -> None:
    """What is told apart because it happens most: completed attempts, assigned tasks."""
    if ledger.completed:
        records = [
            (one.task_id, one.attempt, one.seen_seq, one.exit_code, rows.as_json(one.result), one.run_s)
            for one in ledger.completed
        ]
        await connection.execute(SAVE["completed"], ledger.now, *_columns(6, records))
        ledger.completed.clear()
    if ledger.assigned:
        await connection.execute(
            SAVE["assigned"],
            ledger.now,
            [task.id for task in ledger.assigned],
            [task.attempt for task in ledger.assigned],
        )
        ledger.assigned.clear()


async def _leases(connection: asyncpg.Connection, ledger: Ledger) -> None:
    closed, lent = ledger.leases.closed, ledger.leases.lent
    if closed:
        # One attempt may be closed, and then released, in one transaction: the last word counts.
        last = {(one.task_id, one.attempt): one for one in closed}
        await connection.execute(SAVE["close_leases"], ledger.now, *_columns(3, list(last.values())))
        closed.clear()
    if lent:
        await connection.execute(
            SAVE["lend"], *_columns(3, [(one.task_id, one.attempt, one.worker_id) for one in lent])
        )
        lent.clear()


async def _attempts(connection: asyncpg.Connection, ledger: Ledger) -> None:
    if not ledger.dirty_attempts:
        return
    records = []
    for key in sorted(ledger.dirty_attempts):
        one = ledger.attempts[key]
        records.append(
            (
                one.task_id,
                one.attempt,
                one.epoch,
                one.state.value,
                one.ending.value if one.ending else None,
                one.accepted,
                one.seen_seq,
                one.sent_at,
                one.sends,
                one.started_at,
                one.ended_at,
                one.promoted_at,
                one.exit_code,
                one.error,
                rows.as_json(one.result),
                one.run_s,
                one.done,
                one.total,
                one.activity,
                one.cause,
            )
        )
    await connection.execute(SAVE["attempts"], *_columns(20, records))
    ledger.dirty_attempts.clear()


async def _watched(connection: asyncpg.Connection, ledger: Ledger) -> None:
    """When to look at attempts with limits of time; and how far deadlines were applied."""
    if ledger.watch.signs:
        await connection.execute(SAVE["signs"], ledger.now, *_columns(2, sorted(ledger.watch.signs)))
        ledger.watch.signs.clear()
    if ledger.watch.looks:
        await connection.execute(SAVE["looks"], *_columns(3, [(*key, at) for key, at in ledger.watch.looks.items()]))
        ledger.watch.looks.clear()
    if ledger.watch.applied:
        await connection.execute(SAVE["expired"], *_columns(2, [(one.spec, one.next) for one in ledger.watch.applied]))
        ledger.watch.applied.clear()


async def _tasks(connection: asyncpg.Connection, ledger: Ledger) -> None:
    if not ledger.dirty_tasks:
        return
    records = []
    for number in sorted(ledger.dirty_tasks):
        one = ledger.tasks[number]
        records.append(
            (
                one.id,
                one.state.value,
                one.run,
                one.attempt,
                one.accepted_attempt,
                one.failures,
                one.losses,
                one.shortages,
                ",".join(one.failed_on),
                one.unmet,
                one.not_before,
                one.reason,
            )
        )
    await connection.execute(SAVE["tasks"], ledger.now, *_columns(12, records))
    ledger.dirty_tasks.clear()


async def _jobs(connection: asyncpg.Connection, ledger: Ledger) -> None:
    if not ledger.dirty_jobs:
        return
    records = []
    for number in sorted(ledger.dirty_jobs):
        one = ledger.jobs[number]
        counts = [one.counts[state] for state in TaskState]
        records.append(
            (
                one.id,
                one.state.value,
                one.expanded,
                *counts,
                one.cancel_requested_at,
                one.cancel_reason,
                one.finished_at,
            )
        )
    await connection.execute(SAVE["jobs"], *_columns(15, records))
    ledger.dirty_jobs.clear()


def _columns(width: int, records: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows to columns, as `unnest` takes them."""
    return [list(column) for column in zip(*records, strict=True)] if records else [[] for _ in range(width)]


def _plain(headers: Mapping[str, Any]) -> str:
    """Headers as JSON: what JSON cannot hold is shown as text."""
    return json.dumps(
        {
            str(key): value if isinstance(value, str | int | float | bool | None) else str(value)
            for key, value in headers.items()
        }
    )
