-- name: ping
SELECT 1

-- name: jobs
SELECT id, name, key, submitter, queue, priority, state, total, expanded, n_blocked, n_scheduled, n_paused, n_ready,
       n_assigned, n_running, n_completed, n_failed, n_canceled, cancel_reason, submitted_at, finished_at,
       task_limit AS "limit", paused_at, paused_by, pause_reason
FROM jobs
WHERE id < $1 AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR submitter = $3)
ORDER BY id DESC
LIMIT $4

-- name: jobs_unfinished
SELECT id, name, key, submitter, queue, priority, state, total, expanded, n_blocked, n_scheduled, n_paused, n_ready,
       n_assigned, n_running, n_completed, n_failed, n_canceled, cancel_reason, submitted_at, finished_at,
       task_limit AS "limit", paused_at, paused_by, pause_reason
FROM jobs
WHERE id < $1 AND finished_at IS NULL AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR submitter = $3)
ORDER BY id DESC
LIMIT $4

-- name: job
SELECT id, name, key, submitter, queue, priority, state, total, expanded, n_blocked, n_scheduled, n_paused, n_ready,
       n_assigned, n_running, n_completed, n_failed, n_canceled, cancel_reason, submitted_at, finished_at,
       task_limit AS "limit", paused_at, paused_by, pause_reason,
       policy::text AS policy, blocklisted, keep, origin, archived_at
FROM jobs
WHERE id = $1

-- name: blocklist
SELECT worker_id AS worker, kind, failures, failed_at, blocked_at
FROM blocklist
WHERE job_id = $1 AND blocked_at IS NOT NULL
ORDER BY blocked_at, worker_id, kind
LIMIT 1000

-- name: parts
SELECT s.name, c.kind, c.queue, s.first_task, s.count, s.after::text AS after
FROM specs s
JOIN groups g ON g.id = s.group_id
JOIN classes c ON c.id = g.class_id
WHERE s.job_id = $1
ORDER BY s.first_task
LIMIT 100

-- name: tasks
SELECT t.id, t.job_id AS job, s.name, s.is_array, t.id - s.first_task AS index,
       CASE WHEN position('{{' IN s.name) > 0 THEN s.array_values -> (t.id - s.first_task)::integer END::text AS value,
       c.kind, c.queue, t.state, t.priority, t.run, t.attempt, t.accepted_attempt, t.failures, t.losses, t.not_before,
       t.reason, t.changed_at, a.worker_id AS worker, a.done, a.total, a.activity, a.error
FROM tasks t
JOIN specs s ON s.id = t.spec_id
JOIN groups g ON g.id = t.group_id
JOIN classes c ON c.id = g.class_id
LEFT JOIN attempts a ON a.task_id = t.id AND a.attempt = t.attempt
WHERE t.job_id = $1 AND t.id > $2 AND ($3::text IS NULL OR t.state = $3)
ORDER BY t.id
LIMIT $4

-- name: task
SELECT t.id, t.job_id AS job, s.name, s.is_array, t.id - s.first_task AS index,
       (s.array_values -> (t.id - s.first_task)::integer)::text AS value,
       c.kind, c.queue, t.state, t.priority, t.run, t.attempt, t.accepted_attempt, t.failures, t.losses, t.not_before,
       t.reason, t.changed_at, a.worker_id AS worker, a.done, a.total, a.activity, a.error,
       c.id AS class_id, s.body::text AS spec, s.deadline, s.max_run_s, s.no_progress_s, t.shortages, t.failed_on,
       t.retries, t.unmet,
       farm_now() AS now
FROM tasks t
JOIN specs s ON s.id = t.spec_id
JOIN groups g ON g.id = t.group_id
JOIN classes c ON c.id = g.class_id
LEFT JOIN attempts a ON a.task_id = t.id AND a.attempt = t.attempt
WHERE t.id = $1

-- name: attempts
SELECT attempt, run, worker_id AS worker, epoch, state, ending, accepted, assigned_at, started_at, ended_at, promoted_at,
       exit_code, error, result::text AS result, run_s, done, total, activity, cause
FROM attempts
WHERE task_id = $1
ORDER BY attempt DESC
LIMIT 100

-- name: outputs
SELECT attempt, name, size, digest, media_type, stored, location, at
FROM outputs
WHERE task_id = $1
ORDER BY attempt DESC, name
LIMIT 1000

-- name: output
SELECT attempt, name, size, digest, media_type, stored, location, at
FROM outputs
WHERE task_id = $1 AND attempt = $2 AND name = $3

-- name: picture
SELECT o.task_id AS task, o.attempt, o.name, o.size, o.digest, o.media_type, o.stored, o.location, o.at
FROM tasks t
JOIN outputs o ON o.task_id = t.id
WHERE t.job_id = $1 AND o.stored AND o.media_type LIKE 'image/%'
ORDER BY o.at DESC, o.task_id DESC, o.attempt DESC, o.name DESC
LIMIT 1

-- name: attempt
SELECT attempt, worker_id AS worker, state, (assigned_at AT TIME ZONE 'UTC')::date AS day
FROM attempts
WHERE task_id = $1 AND attempt = $2

-- name: newest_attempt
SELECT a.attempt, a.worker_id AS worker, a.state, (a.assigned_at AT TIME ZONE 'UTC')::date AS day
FROM tasks t
LEFT JOIN attempts a ON a.task_id = t.id AND a.attempt = t.attempt
WHERE t.id = $1

-- name: log_end
SELECT (SELECT max(chunk) FROM logs
        WHERE day BETWEEN $3::date - 1 AND $3::date + 1 AND task_id = $1 AND attempt = $2) AS last,
       (SELECT truncated FROM log_sizes WHERE task_id = $1 AND attempt = $2) AS truncated

-- The last chunk up to which none is missing after chunk $4.
-- name: log_settled
SELECT max(chunk) AS last
FROM (SELECT chunk, row_number() OVER (ORDER BY chunk) AS place
      FROM logs
      WHERE day BETWEEN $3::date - 1 AND $3::date + 1 AND task_id = $1 AND attempt = $2 AND chunk > $4) following
WHERE chunk = $4 + place

-- name: log_chunks
SELECT chunk, text
FROM logs
WHERE day BETWEEN $3::date - 1 AND $3::date + 1 AND task_id = $1 AND attempt = $2 AND chunk > $4 AND chunk <= $5
ORDER BY chunk
LIMIT 32

-- name: story_of_task
SELECT id, at, event, job_id AS job, task_id AS task, attempt, worker_id AS worker, actor, detail::text AS detail
FROM history
WHERE task_id = $1 AND id > $2
ORDER BY id
LIMIT $3

-- name: story_of_worker
SELECT id, at, event, job_id AS job, task_id AS task, attempt, worker_id AS worker, actor, detail::text AS detail
FROM history
WHERE worker_id = $1 AND id > $2
ORDER BY id
LIMIT $3

-- name: story_of_job
SELECT id, at, event, job_id AS job, task_id AS task, attempt, worker_id AS worker, actor, detail::text AS detail
FROM history
WHERE job_id = $1 AND task_id IS NULL AND id > $2
ORDER BY id
LIMIT $3

-- What is still missing, the dead first: they will never come.
-- name: needs
SELECT n.id, n.state, s.name, s.is_array, n.id - s.first_task AS index,
       CASE WHEN position('{{' IN s.name) > 0 THEN s.array_values -> (n.id - s.first_task)::integer END::text AS value,
       n.group_id, r.started_at
FROM dependencies d
JOIN tasks n ON n.id = d.needs
JOIN specs s ON s.id = n.spec_id
LEFT JOIN attempts r ON r.task_id = n.id AND r.state = 'running'
LEFT JOIN attempts a ON a.task_id = n.id AND a.attempt = n.accepted_attempt
WHERE d.task_id = $1 AND (n.state <> 'completed' OR d.promoted AND a.promoted_at IS NULL)
ORDER BY n.state IN ('failed', 'canceled') DESC, n.id
LIMIT 1

-- name: needs_count
SELECT count(*) AS needs FROM dependencies WHERE task_id = $1

-- name: workers
SELECT w.id, w.protocol, w.foreign_id, w.connection, w.duty, w.epoch, w.instance::text AS instance, w.boot_id, w.software,
       w.platform::text AS platform, w.kinds, w.queues, w.tags, w.labels, w.zone, w.slots, w.cpus, w.memory_mb, w.gpus,
       w.can_restart, w.requested_state, w.requested_lazy, w.requested_reason, w.requested_by, w.requested_source,
       w.requested_deadline_at, w.reason, w.online_at, w.changed_at, l.last_seen_at, m.stats::text AS stats, coalesce(l.open_sessions, 0) AS open_sessions,
       l.last_activity_at, h.holds, h.used_slots, h.used_cpus, h.used_memory_mb, h.used_gpus
FROM workers w
LEFT JOIN worker_liveness l ON l.worker_id = w.id
LEFT JOIN worker_stats m ON m.worker_id = w.id
CROSS JOIN LATERAL (
    SELECT count(*) AS holds, coalesce(sum(c.slots), 0)::integer AS used_slots, coalesce(sum(c.cpus), 0) AS used_cpus,
           coalesce(sum(c.memory_mb), 0)::bigint AS used_memory_mb, coalesce(sum(c.gpus), 0)::integer AS used_gpus
    FROM attempts a
    JOIN classes c ON c.id = a.class_id
    WHERE a.worker_id = w.id AND a.state <> 'ended'
) h
WHERE w.id > $1 AND ($2::text IS NULL OR w.connection = $2) AND ($3::text IS NULL OR w.duty = $3)
  AND ($4::text IS NULL OR w.queues @> ARRAY[$4])
ORDER BY w.id
LIMIT $5

-- name: worker
SELECT w.id, w.protocol, w.foreign_id, w.connection, w.duty, w.epoch, w.instance::text AS instance, w.boot_id, w.software,
       w.platform::text AS platform, w.kinds, w.queues, w.tags, w.labels, w.zone, w.slots, w.cpus, w.memory_mb, w.gpus,
       w.can_restart, w.requested_state, w.requested_lazy, w.requested_reason, w.requested_by, w.requested_source,
       w.requested_deadline_at, w.reason, w.online_at, w.changed_at, l.last_seen_at, m.stats::text AS stats, coalesce(l.open_sessions, 0) AS open_sessions,
       w.supervises, w.runners, w.secrets, w.enforces, l.last_activity_at, w.sleep_schedule::text AS sleep_schedule, w.sleep_next_at,
       coalesce(w.idle_action, d.action, 'off') AS idle_action,
       coalesce(w.idle_after_s, d.after_s, 1800) AS idle_after_s,
       w.idle_action IS NOT NULL AS idle_own, h.holds, h.used_slots, h.used_cpus, h.used_memory_mb, h.used_gpus
FROM workers w
LEFT JOIN worker_liveness l ON l.worker_id = w.id
LEFT JOIN worker_stats m ON m.worker_id = w.id
LEFT JOIN idle_default d ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS holds, coalesce(sum(c.slots), 0)::integer AS used_slots, coalesce(sum(c.cpus), 0) AS used_cpus,
           coalesce(sum(c.memory_mb), 0)::bigint AS used_memory_mb, coalesce(sum(c.gpus), 0)::integer AS used_gpus
    FROM attempts a
    JOIN classes c ON c.id = a.class_id
    WHERE a.worker_id = w.id AND a.state <> 'ended'
) h
WHERE w.id = $1

-- name: idle_default
SELECT coalesce(max(action), 'off') AS action, coalesce(max(after_s), 1800) AS after_s, false AS own FROM idle_default

-- name: held
SELECT a.task_id AS task, a.attempt, t.job_id AS job, s.name, s.is_array, t.id - s.first_task AS index,
       CASE WHEN position('{{' IN s.name) > 0 THEN s.array_values -> (t.id - s.first_task)::integer END::text AS value,
       a.state, a.assigned_at, a.started_at, a.done, a.total, a.activity
FROM attempts a
JOIN tasks t ON t.id = a.task_id
JOIN specs s ON s.id = t.spec_id
WHERE a.worker_id = $1 AND a.state <> 'ended'
ORDER BY a.assigned_at, a.task_id
LIMIT 500

-- Queues that somebody waits in, works in or serves; `oldest` is that of the hundred tasks that are next in each group.
-- name: queues
WITH waiting AS (
    SELECT c.queue, sum(g.ready)::bigint AS ready, min(h.oldest) AS oldest
    FROM groups g
    JOIN classes c ON c.id = g.class_id
    CROSS JOIN LATERAL (
        SELECT min(changed_at) AS oldest
        FROM (SELECT changed_at FROM tasks
              WHERE group_id = g.id AND state = 'ready' ORDER BY priority DESC, id LIMIT 100) head
    ) h
    WHERE g.ready > 0
    GROUP BY c.queue
),
running AS (
    SELECT c.queue, count(*) AS held
    FROM attempts a
    JOIN classes c ON c.id = a.class_id
    WHERE a.state <> 'ended'
    GROUP BY c.queue
),
serving AS (
    SELECT q.queue, count(*) AS workers,
           count(*) FILTER (WHERE w.connection = 'online' AND w.duty = 'awake' AND w.kinds <> '{}'
                            AND (w.requested_state IS NULL OR w.requested_state = 'awake')) AS serving
    FROM workers w
    CROSS JOIN LATERAL unnest(w.queues) AS q (queue)
    WHERE w.connection IN ('online', 'suspect')
    GROUP BY q.queue
)
SELECT queue AS name, coalesce(w.ready, 0) AS waiting, coalesce(r.held, 0) AS running, w.oldest AS oldest_ready_at,
       coalesce(s.serving, 0) AS serving, coalesce(s.workers, 0) AS workers, l.total AS "limit",
       p.paused_at, p.paused_by, p.reason AS pause_reason
FROM waiting w
FULL JOIN running r USING (queue)
FULL JOIN serving s USING (queue)
FULL JOIN (SELECT name AS queue, total FROM limits WHERE scope = 'queue') l USING (queue)
FULL JOIN (SELECT name AS queue, paused_at, paused_by, reason FROM paused_queues) p USING (queue)
ORDER BY queue
LIMIT 1000

-- name: limits
WITH held AS (
    SELECT c.queue, c.kind, j.submitter, c.licenses, g.held
    FROM groups g
    JOIN classes c ON c.id = g.class_id
    JOIN jobs j ON j.id = g.job_id
    WHERE g.held > 0
),
used AS (
    SELECT 'queue' AS scope, queue AS name, sum(held) AS used FROM held GROUP BY 2
    UNION ALL SELECT 'kind', kind, sum(held) FROM held GROUP BY 2
    UNION ALL SELECT 'submitter', submitter, sum(held) FROM held GROUP BY 2
    UNION ALL SELECT 'license', one.key, sum(held * one.value::integer)
              FROM held CROSS JOIN LATERAL jsonb_each_text(licenses) AS one GROUP BY 2
)
SELECT l.scope, l.name, l.total, coalesce(u.used, 0)::bigint AS used, l.set_at, l.set_by, l.reason
FROM limits l
LEFT JOIN used u USING (scope, name)
ORDER BY l.scope, l.name
LIMIT 1000

-- name: weights
SELECT submitter, weight, set_at, set_by, reason FROM weights ORDER BY submitter LIMIT 1000

-- name: fair_share
SELECT fair_share FROM rules

-- What operators set for all: limits, weights, pauses of queues.
-- name: story_of_rules
SELECT id, at, event, job_id AS job, task_id AS task, attempt, worker_id AS worker, actor, detail::text AS detail
FROM history
WHERE job_id IS NULL AND task_id IS NULL AND worker_id IS NULL AND id > $1
  AND split_part(event, '.', 1) IN ('limit', 'weight', 'fair_share', 'queue')
ORDER BY id
LIMIT $2

-- name: parked
SELECT id, at, queue, routing_key, length(body) AS size, user_id, message_id, reason, field, detail, state, closed_at,
       closed_by
FROM parked
WHERE id < $1 AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR reason = $3)
ORDER BY id DESC
LIMIT $4

-- name: parked_one
SELECT id, at, queue, routing_key, length(body) AS size, user_id, message_id, reason, field, detail, state, closed_at,
       closed_by, headers::text AS headers, body
FROM parked
WHERE id = $1

-- name: coordinators
SELECT id, software, started_at, seen_at, listening_since, events_at, heartbeats_at, hears_broker
FROM coordinators ORDER BY id LIMIT 100

-- name: freezes
SELECT nullif(zone, '') AS zone, guard, since, workers, suspects, lost FROM freezes ORDER BY freezes.zone

-- name: now
SELECT farm_now() AS now

-- name: count_workers
SELECT w.connection, w.duty, w.protocol, count(*) AS workers, sum(w.slots)::bigint AS slots,
       sum(coalesce(h.used, 0))::bigint AS used
FROM workers w
LEFT JOIN (
    SELECT a.worker_id, sum(c.slots) AS used
    FROM attempts a
    JOIN classes c ON c.id = a.class_id
    WHERE a.state <> 'ended'
    GROUP BY a.worker_id
) h ON h.worker_id = w.id
GROUP BY 1, 2, 3

-- name: count_jobs
SELECT state, count(*) AS jobs FROM jobs WHERE finished_at IS NULL GROUP BY state

-- name: count_waiting_by_job_queue
SELECT queue, sum(n_blocked)::bigint AS blocked, sum(n_scheduled)::bigint AS scheduled,
       sum(n_paused)::bigint AS paused
FROM jobs
WHERE finished_at IS NULL
GROUP BY queue

-- name: count_held
SELECT c.queue, a.state, count(*) AS attempts
FROM attempts a
JOIN classes c ON c.id = a.class_id
WHERE a.state <> 'ended'
GROUP BY 1, 2

-- name: count_parked
SELECT reason, count(*) AS messages FROM parked WHERE state = 'parked' GROUP BY reason
