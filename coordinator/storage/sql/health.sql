-- What is known of how these workers did since $2, and since each one's last quarantine: for each job, when it last
-- failed a task that nobody else has failed, and (by its newest thousand events) when it last finished one.
-- name: failed
SELECT worker_id, job_id, max(failed_at) AS at
  FROM blocklist
 WHERE worker_id = ANY($1::text[]) AND failures > 0 AND failed_at > $2
 GROUP BY worker_id, job_id;

-- name: finished
SELECT w.worker_id, r.event, r.job_id, max(r.at) AS at
  FROM unnest($1::text[]) AS w(worker_id)
 CROSS JOIN LATERAL (
       SELECT event, job_id, at FROM history WHERE worker_id = w.worker_id ORDER BY id DESC LIMIT 1000) AS r
 WHERE r.event IN ('task.completed', 'worker.quarantined') AND r.at > $2
 GROUP BY w.worker_id, r.event, r.job_id;
