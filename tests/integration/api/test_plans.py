"""Reads that people repeat stay cheap when the farm has grown: they use the indexes they were made for."""

import json
from typing import Any

from coordinator.storage.queries import load
from schemas.base import MAX_INT
from tests.integration.api.rows import Rows

GROWN = """
    INSERT INTO jobs (name, queue, priority, state, total, first_task)
    SELECT 'job', 'default', 50, 'active', 1000, n * 1000 FROM generate_series(1, 3000) n;
    UPDATE jobs SET state = 'completed', finished_at = now() WHERE id <= 2997;
    INSERT INTO classes (fingerprint, queue, kind, tags, labels, slots, cpus, memory_mb, gpus)
    VALUES ('f', 'default', 'exec', '{}', '{}', 1, 0, 0, 0);
    INSERT INTO groups (job_id, class_id, ready) SELECT id, 1, 1000 FROM jobs WHERE finished_at IS NULL;
    INSERT INTO specs (job_id, group_id, name, first_task, count, is_array, priority, retries, body)
    SELECT job_id, id, 'frame', job_id * 1000, 1000, true, 50, 3, '{}' FROM groups;
    INSERT INTO tasks (id, job_id, group_id, spec_id, state, priority)
    SELECT s.first_task + n, s.job_id, s.group_id, s.id, 'ready', 50 FROM specs s, generate_series(0, 999) n;
    INSERT INTO attempts
           (task_id, attempt, run, class_id, worker_id, epoch, state, ending, assigned_at, sent_at, ended_at)
    SELECT id, 1, 1, 1, 'node-1', 1, 'ended', 'failed', now(), now(), now() FROM tasks;
    INSERT INTO history (at, event, job_id, task_id, worker_id)
    SELECT now(), 'x', job_id, id, 'node-' || id FROM tasks;
    INSERT INTO logs (day, task_id, attempt, chunk, text) SELECT now()::date, id, 1, 0, '' FROM tasks;
    INSERT INTO parked (queue, routing_key, body, reason, state, closed_at)
    SELECT 'q', 'k', '', 'invalid', CASE WHEN n > 2990 THEN 'parked' ELSE 'dropped' END, now()
    FROM generate_series(1, 3000) n;
    ANALYZE;
"""


#: A job's tasks are a range of ids: either index will do.
READS: dict[str, tuple[tuple[Any, ...], str]] = {
    "tasks": ((2998, 2_998_500, None, 101), "tasks_of_job tasks_pkey"),
    "jobs_unfinished": ((MAX_INT, None, None, 101), "jobs_unfinished"),
    "task": ((2_998_500,), "tasks_pkey"),
    "attempts": ((2_998_500,), "attempts_pkey"),
    "held": (("node-1",), "attempts_held"),
    "count_held": ((), "attempts_held"),
    "queues": ((), "tasks_ready"),
    "story_of_task": ((2_998_500, 0, 101), "history_of_task"),
    "story_of_worker": (("node-2998500", 0, 101), "history_of_worker"),
    "count_parked": ((), "parked_open"),
}


async def test_reads_use_their_indexes(rows: Rows) -> None:
    for statement in GROWN.split(";\n")[:-1]:
        await rows.execute(statement)

    used = {}
    for name, (arguments, _) in READS.items():
        plan = await rows.fetchrow(f"EXPLAIN (FORMAT JSON) {load('views')[name]}", *arguments)
        used[name] = _indexes(json.loads(plan[0])[0]["Plan"])

    assert {name: found for name, found in used.items() if found.isdisjoint(READS[name][1].split())} == {}


def _indexes(plan: dict[str, Any]) -> set[str]:
    used = {plan["Index Name"]} if "Index Name" in plan else set()
    return used.union(*(_indexes(below) for below in plan.get("Plans", [])))
