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
