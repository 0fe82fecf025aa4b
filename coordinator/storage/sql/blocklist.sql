-- name: marks
-- Columns in the order of the fields of `blocklist.Mark`.
SELECT job_id, kind, worker_id, failures, failed_at, blocked_at FROM blocklist WHERE job_id = ANY($1::bigint[]);

-- name: save_marks
INSERT INTO blocklist (job_id, kind, worker_id, failures, failed_at, blocked_at)
SELECT u.job_id, u.kind, u.worker_id, u.failures, u.failed_at, u.blocked_at
  FROM unnest($1::bigint[], $2::text[], $3::text[], $4::integer[], $5::timestamptz[], $6::timestamptz[])
       AS u(job_id, kind, worker_id, failures, failed_at, blocked_at)
ON CONFLICT (job_id, kind, worker_id) DO UPDATE
   SET failures = excluded.failures, failed_at = excluded.failed_at, blocked_at = excluded.blocked_at;

-- name: count_blocked
UPDATE jobs j
   SET blocklisted = (SELECT count(*) FROM blocklist b WHERE b.job_id = j.id AND b.blocked_at IS NOT NULL)
 WHERE j.id = ANY($1::bigint[]);

-- name: blocked_of_groups
SELECT g.id AS group_id, array_agg(b.worker_id) AS workers
  FROM groups g
  JOIN classes c ON c.id = g.class_id
  JOIN blocklist b ON b.job_id = g.job_id AND b.kind = c.kind AND b.blocked_at IS NOT NULL
 WHERE g.id = ANY($1::bigint[])
 GROUP BY g.id;

-- name: classes_of_jobs
SELECT job_id, class_id FROM groups WHERE job_id = ANY($1::bigint[]);

-- name: workers_here
SELECT w.*, l.last_seen_at
  FROM workers w JOIN worker_liveness l ON l.worker_id = w.id
 WHERE w.connection IN ('online', 'suspect');
