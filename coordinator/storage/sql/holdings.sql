-- name: holders
-- Workers of a protocol, or one of them, each with the one attempt that has not ended there.
SELECT w.id, w.foreign_id, w.connection, w.duty, w.platform, h.task_id, h.attempt, h.state, h.key, h.activity
  FROM workers w
  LEFT JOIN LATERAL (
       SELECT a.task_id, a.attempt, a.state, a.activity, j.key
         FROM attempts a JOIN tasks t ON t.id = a.task_id JOIN jobs j ON j.id = t.job_id
        WHERE a.worker_id = w.id AND a.state <> 'ended'
        ORDER BY a.task_id, a.attempt LIMIT 1) h ON true
 WHERE w.protocol = $1 AND ($2::text IS NULL OR w.id = $2)
 ORDER BY w.id;

-- name: found
-- $1: a task's number, or $2: its job's key; with the attempt of a worker of protocol $3 at the address $4.
SELECT t.id, t.state, o.attempt, o.state AS attempt_state, o.worker_id, o.done, o.total
  FROM tasks t
  LEFT JOIN LATERAL (
       SELECT a.attempt, a.state, a.worker_id, a.done, a.total
         FROM attempts a JOIN workers w ON w.id = a.worker_id
        WHERE a.task_id = t.id AND w.protocol = $3 AND split_part(w.foreign_id, ':', 1) = $4
        ORDER BY a.state = 'ended', a.attempt DESC LIMIT 1) o ON true
 WHERE t.id = coalesce($1::bigint, (SELECT e.id FROM jobs j JOIN tasks e ON e.job_id = j.id WHERE j.key = $2 LIMIT 1));

-- name: roster
-- All workers of a protocol, with the figures of their own that they have last told, and what each runs.
SELECT w.id, w.foreign_id, w.connection, w.platform, w.queues, w.lost_after_s, w.online_at, l.last_seen_at,
       nullif(l.sampled_at, '-infinity') AS reported_at,
       ARRAY(SELECT jsonb_object_keys(m.stats->'extra')) AS metrics,
       h.*, farm_now() AS now
  FROM workers w
  JOIN worker_liveness l ON l.worker_id = w.id
  LEFT JOIN worker_stats m ON m.worker_id = w.id
  LEFT JOIN LATERAL (
       SELECT a.task_id, a.attempt, t.job_id AS job, j.name AS job_name, coalesce(a.started_at, a.assigned_at) AS since,
              s.name, s.is_array, t.id - s.first_task AS index,
              CASE WHEN position('{{' IN s.name) > 0 THEN s.array_values -> (t.id - s.first_task)::integer END::text AS value
         FROM attempts a
         JOIN tasks t ON t.id = a.task_id
         JOIN specs s ON s.id = t.spec_id
         JOIN jobs j ON j.id = t.job_id
        WHERE a.worker_id = w.id AND a.state IN ('assigned', 'running')
        ORDER BY a.task_id, a.attempt LIMIT 1) h ON true
 WHERE w.protocol = $1
 ORDER BY w.foreign_id;

-- name: of_session
SELECT w.id FROM workers w WHERE w.protocol = $1 AND w.platform->>'session' = $2 LIMIT 1;

-- name: session_of
SELECT coalesce(w.platform->>'session', '') AS session FROM workers w WHERE w.protocol = $1 AND w.id = $2;

-- name: given
-- An attempt with its task, as it was submitted, and its place in its array.
SELECT a.worker_id AS worker, a.assigned_at, a.ended_at, t.job_id AS job, j.name AS job_name, j.submitter, c.queue, s.name,
       s.is_array, t.id - s.first_task AS index, (s.array_values -> (t.id - s.first_task)::integer)::text AS value,
       s.body->'commands' AS commands
  FROM attempts a
  JOIN tasks t ON t.id = a.task_id
  JOIN specs s ON s.id = t.spec_id
  JOIN jobs j ON j.id = t.job_id
  JOIN classes c ON c.id = a.class_id
 WHERE a.task_id = $1 AND a.attempt = $2;

-- name: holds
-- All attempts that have not ended at workers of a protocol, or at one of them.
SELECT w.id, w.foreign_id, w.connection, w.platform, a.task_id, a.attempt, a.state, a.sends
  FROM workers w JOIN attempts a ON a.worker_id = w.id
 WHERE w.protocol = $1 AND ($2::text IS NULL OR w.id = $2) AND a.state <> 'ended'
 ORDER BY a.task_id, a.attempt;
