-- name: to_stop
-- Workers of a protocol that are asked to go, with what has become of them since.
SELECT w.id, w.foreign_id, w.requested_source, w.requested_reason, w.requested_by,
       coalesce(w.requested_at, w.changed_at) AS since, l.open_sessions, l.last_activity_at
  FROM workers w JOIN worker_liveness l ON l.worker_id = w.id
 WHERE w.protocol = $1 AND w.requested_state = 'offline' AND w.connection IN ('online', 'suspect')
 ORDER BY since LIMIT 200;
