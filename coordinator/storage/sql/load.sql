-- name: begin
-- The farm's lock, then the time: one transaction at a time changes jobs, tasks and attempts.
WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock($1))
SELECT farm_now() AS now FROM locked;

-- name: workers
SELECT w.*, l.last_seen_at
  FROM workers w JOIN worker_liveness l ON l.worker_id = w.id
 WHERE w.id = ANY($1::text[]);

-- name: signs
-- Columns in the order of the fields of `Signs`.
SELECT worker_id, last_seq, told_at, told_active_at, last_activity_at, open_sessions, NULL FROM worker_liveness
 WHERE worker_id = ANY($1::text[]);

-- name: worker_count
-- Those whose heartbeats come over the broker; others have a rhythm of their own.
SELECT count(*) FROM workers WHERE connection IN ('online', 'suspect') AND protocol = 'native';

-- name: known_kinds
SELECT DISTINCT kind FROM workers, unnest(kinds) AS kind;

-- name: held_attempts
SELECT task_id, attempt, run, class_id, worker_id, epoch, state, assigned_at, sent_at, sends, ending, accepted, seen_seq,
       started_at, ended_at, promoted_at, exit_code, error, result, run_s, done, total, activity, cause
  FROM attempts WHERE worker_id = ANY($1::text[]) AND state <> 'ended';

-- name: attempts
SELECT a.task_id, a.attempt, a.run, a.class_id, a.worker_id, a.epoch, a.state, a.assigned_at, a.sent_at, a.sends, a.ending, a.accepted, a.seen_seq, 
       a.started_at, a.ended_at, a.promoted_at, a.exit_code, a.error, a.result, a.run_s, a.done, a.total, a.activity, a.cause
  FROM unnest($1::bigint[], $2::integer[]) AS named(task_id, attempt)
  JOIN attempts a ON a.task_id = named.task_id AND a.attempt = named.attempt;

-- name: live_or_accepted_attempts
SELECT task_id, attempt, run, class_id, worker_id, epoch, state, assigned_at, sent_at, sends, ending, accepted, seen_seq,
       started_at, ended_at, promoted_at, exit_code, error, result, run_s, done, total, activity, cause
  FROM attempts WHERE task_id = ANY($1::bigint[]) AND (state <> 'ended' OR accepted);

-- name: held_leases
-- What stands in the way of these tasks, locked so that no heartbeat renews it meanwhile.
SELECT task_id, attempt, worker_id, until, free_at
  FROM leases WHERE task_id = ANY($1::bigint[]) AND released_at IS NULL
 ORDER BY task_id, attempt FOR UPDATE;

-- name: tasks
SELECT id, job_id, group_id, spec_id, state, priority, run, attempt, accepted_attempt, failures, losses, shortages,
       retries, failed_on, unmet, not_before, reason
  FROM tasks WHERE id = ANY($1::bigint[]);

-- name: dependents
SELECT needs, task_id, promoted FROM dependencies WHERE needs = ANY($1::bigint[]);

-- name: due_tasks
SELECT id FROM tasks WHERE state = 'scheduled' AND not_before <= $1 ORDER BY not_before LIMIT $2;

-- name: overdue
-- Watched attempts that may have had their time, with their last sign.
SELECT a.task_id, a.attempt, s.max_run_s, s.no_progress_s, a.started_at,
       greatest(a.started_at, a.heard_at, l.heard_at) AS heard_at
  FROM attempts a
  JOIN tasks t ON t.id = a.task_id
  JOIN specs s ON s.id = t.spec_id
  LEFT JOIN log_sizes l ON l.task_id = a.task_id AND l.attempt = a.attempt
 WHERE a.look_at <= $1 AND a.look_at IS NOT NULL AND a.state = 'running'
 ORDER BY a.look_at LIMIT $2;

-- name: expired
-- Specs whose deadline has passed, each with some tasks that are not finished: $2 tasks among the next $3.
SELECT s.id, s.deadline, s.deadline_next, s.first_task + s.count AS stop,
       ARRAY(SELECT t.id FROM tasks t
              WHERE t.id >= s.deadline_next AND t.id < least(s.deadline_next + $3, s.first_task + s.count)
                AND t.state NOT IN ('completed', 'failed', 'canceled')
              ORDER BY t.id LIMIT $2) AS tasks
  FROM specs s
 WHERE s.deadline_next IS NOT NULL AND s.deadline <= $1
 ORDER BY s.deadline LIMIT 4;

-- name: undelivered
-- Assigned, and no sign of life since it was sent: after 2 s, then 4, 8, … up to 64.
SELECT a.task_id, a.attempt
  FROM attempts a JOIN workers w ON w.id = a.worker_id
 WHERE a.state = 'assigned'
   AND w.connection = 'online'
   AND a.sent_at < $1::timestamptz - make_interval(secs => 2.0 ^ least(a.sends, 6))
 ORDER BY a.sent_at LIMIT $2;

-- name: slice
SELECT id FROM tasks WHERE job_id = $1 AND state = ANY($2::text[]) ORDER BY id LIMIT $3;

-- name: jobs
SELECT * FROM jobs WHERE id = ANY($1::bigint[]);

-- name: jobs_by_key
SELECT id, key FROM jobs WHERE key = ANY($1::text[]);

-- name: groups
SELECT id, job_id, class_id, ready, held FROM groups WHERE id = ANY($1::bigint[]);

-- name: groups_of_jobs
SELECT id, job_id, class_id, ready, held FROM groups WHERE job_id = ANY($1::bigint[]);

-- name: parked
SELECT * FROM parked WHERE id = ANY($1::bigint[]) FOR UPDATE;

-- name: duties
SELECT name, last_run_at FROM duties WHERE name = ANY($1::text[]);

-- name: unfinished_work
-- Large jobs that a coordinator left half grown or half canceled.
SELECT id, expanded < total AS growing FROM jobs
 WHERE (expanded < total OR state = 'canceling') LIMIT 100;

-- name: classes
SELECT * FROM classes WHERE id = ANY($1::bigint[]);

-- name: groups_with_work
-- Columns in the order in which `rows.group` takes them.
SELECT g.id, g.job_id, g.class_id, j.priority, g.ready, j.cancel_requested_at IS NOT NULL AS canceling, j.submitter,
       j.task_limit, j.paused_at, j.paused_by, j.pause_reason, (SELECT version FROM rules) AS rules_version,
       j.blocklisted > 0 AS blocklisted
  FROM groups g JOIN jobs j ON j.id = g.job_id
 WHERE g.ready > 0;

-- name: limits
SELECT scope, name, total FROM limits;

-- name: weights
SELECT submitter, weight FROM weights;

-- name: paused_queues
SELECT name, paused_by, paused_at, reason FROM paused_queues;

-- name: fair_share
SELECT fair_share FROM rules;

-- name: held
-- Columns in the order of the fields of `limits.Held`.
SELECT g.class_id, j.submitter, CASE WHEN j.task_limit IS NOT NULL THEN g.job_id END AS job_id, sum(g.held)::integer
  FROM groups g JOIN jobs j ON j.id = g.job_id
 WHERE g.held > 0
 GROUP BY 1, 2, 3;

-- name: turns
SELECT queue, submitter, turn FROM turns;

-- name: workers_taking_work
-- $1: these workers, or all when null.
SELECT w.*, l.last_seen_at
  FROM workers w JOIN worker_liveness l ON l.worker_id = w.id
 WHERE w.connection = 'online' AND w.duty IN ('awake', 'testing') AND w.kinds <> '{}'
   AND (w.requested_state IS NULL OR w.requested_state = w.duty)
   AND ($1::text[] IS NULL OR w.id = ANY($1));

-- name: load_of_workers
SELECT worker_id, class_id, count(*)::integer AS held
  FROM attempts WHERE worker_id = ANY($1::text[]) AND state <> 'ended'
 GROUP BY worker_id, class_id;

-- name: ready_tasks
-- $1, $2: groups, and how many tasks of each.
SELECT t.*
  FROM unnest($1::bigint[], $2::integer[]) AS look(group_id, most)
 CROSS JOIN LATERAL (
       SELECT id, job_id, group_id, spec_id, state, priority, run, attempt, accepted_attempt, failures, losses, shortages,
              retries, failed_on, unmet, not_before, reason
         FROM tasks
        WHERE group_id = look.group_id AND state = 'ready'
        ORDER BY priority DESC, id
        LIMIT look.most) AS t;

-- name: specs
SELECT id, job_id, name, first_task, is_array, array_values, after, body FROM specs WHERE id = ANY($1::bigint[]);

-- name: next_specs
-- The specs of a job's tasks from number $2 on.
SELECT id, group_id, name, first_task, count, priority, retries, after, not_before, deadline
  FROM specs WHERE job_id = $1 AND parent IS NULL AND first_task + count > $2
 ORDER BY first_task LIMIT $3;

-- name: accepted_in
-- Of the tasks in these ranges, the completed ones.
SELECT t.id, t.accepted_attempt, a.promoted_at IS NOT NULL AS promoted
  FROM unnest($1::bigint[], $2::bigint[]) AS range(first, last)
  JOIN tasks t ON t.id BETWEEN range.first AND range.last
  JOIN attempts a ON a.task_id = t.id AND a.attempt = t.accepted_attempt
 WHERE t.state = 'completed';
