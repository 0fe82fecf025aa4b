-- name: task
SELECT t.id AS task, t.job_id AS job, s.name, s.is_array, t.id - s.first_task AS index,
       CASE WHEN position('{{' IN s.name) > 0 THEN s.array_values -> (t.id - s.first_task)::integer END::text AS value,
       t.group_id, g.class_id, t.state, t.unmet, t.not_before, t.failures + t.shortages AS ends, t.failed_on, t.reason,
       coalesce(l.worker_id, a.worker_id) AS worker,
       CASE t.state WHEN 'running' THEN a.started_at ELSE a.assigned_at END AS since, l.free_at AS leased_until,
       w.connection, lv.last_seen_at, t.priority, o.heard_at AS log_heard_at,
       f.zone, f.since AS freeze_since, f.workers AS freeze_workers, f.suspects AS freeze_suspects
  FROM tasks t
  JOIN specs s ON s.id = t.spec_id
  JOIN groups g ON g.id = t.group_id
  LEFT JOIN attempts a ON a.task_id = t.id AND a.attempt = t.attempt
  LEFT JOIN leases l ON l.task_id = t.id AND l.released_at IS NULL AND t.state = 'scheduled'
  LEFT JOIN workers w ON w.id = a.worker_id AND a.state <> 'ended'
  LEFT JOIN worker_liveness lv ON lv.worker_id = w.id
  LEFT JOIN log_sizes o ON o.task_id = a.task_id AND o.attempt = a.attempt
  LEFT JOIN freezes f ON w.connection = 'suspect' AND f.guard = 'frozen'
                     AND f.zone = CASE WHEN w.protocol = 'native' THEN w.zone ELSE w.zone || ':' || w.protocol END
 WHERE t.id = ANY($1::bigint[])
 ORDER BY t.id;

-- name: everyone
-- All workers, whatever they do.
SELECT w.*, l.last_seen_at FROM workers w LEFT JOIN worker_liveness l ON l.worker_id = w.id ORDER BY w.id;

-- name: road
-- Each coordinator that still counts: when it last took something from the queue that it has waited for longest.
SELECT id, least(events_at, heartbeats_at) AS heard_at, blocked_since FROM coordinators
 WHERE least(events_at, heartbeats_at) > farm_now() - interval '45 seconds';

-- name: job
SELECT id, name, state FROM jobs WHERE id = $1;

-- name: examples
-- Of each state and group of a job's tasks that are neither ready nor finished: how many of the first, and the first.
SELECT DISTINCT ON (t.state, t.group_id) t.id AS task, count(*) OVER (PARTITION BY t.state, t.group_id) AS tasks
  FROM (SELECT id, state, group_id, priority FROM tasks
         WHERE job_id = $1 AND state NOT IN ('completed', 'failed', 'canceled', 'ready') ORDER BY id LIMIT 10000) t
 ORDER BY t.state, t.group_id, t.priority DESC, t.id;

-- name: waiting_examples
-- Of each group of a job with ready tasks: how many, and the next one.
SELECT g.ready AS tasks, t.id AS task
  FROM groups g
 CROSS JOIN LATERAL (SELECT id FROM tasks WHERE group_id = g.id AND state = 'ready' ORDER BY priority DESC, id LIMIT 1) t
 WHERE g.job_id = $1 AND g.ready > 0
 ORDER BY g.ready DESC LIMIT 10;

-- name: unfinished_classes
SELECT DISTINCT g.class_id FROM groups g JOIN jobs j ON j.id = g.job_id WHERE j.finished_at IS NULL;

-- name: idle
-- Workers that are there, take work, hold nothing, and are used by nobody else.
SELECT w.id FROM workers w JOIN worker_liveness l ON l.worker_id = w.id
 WHERE w.connection = 'online' AND w.duty = 'awake' AND (w.requested_state IS NULL OR w.requested_state = 'awake')
   AND l.open_sessions = 0
   AND NOT EXISTS (SELECT FROM attempts a WHERE a.worker_id = w.id AND a.state <> 'ended');

-- name: license_holders
-- Tasks whose attempts use this license, those that have had it longest first.
SELECT a.task_id FROM attempts a JOIN classes c ON c.id = a.class_id
 WHERE a.state <> 'ended' AND c.licenses ? $1 ORDER BY a.assigned_at, a.task_id LIMIT $2;
