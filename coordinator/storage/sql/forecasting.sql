-- name: running_on
SELECT a.task_id, a.worker_id, a.class_id, t.group_id, a.started_at
  FROM attempts a JOIN tasks t ON t.id = a.task_id
 WHERE a.worker_id = ANY($1::text[]) AND a.state = 'running'
 ORDER BY a.started_at LIMIT $2;

-- name: took
-- Of each group ($1): seconds that its tasks took which are among the last $3 of their job before one of them ($2).
SELECT u.group_id, array_agg(extract(epoch FROM a.ended_at - a.started_at)::double precision) AS seconds
  FROM unnest($1::bigint[], $2::bigint[]) AS u(group_id, task)
  JOIN groups g ON g.id = u.group_id
 CROSS JOIN LATERAL (SELECT id, group_id, accepted_attempt FROM tasks
                      WHERE job_id = g.job_id AND id < u.task ORDER BY id DESC LIMIT $3) t
  JOIN attempts a ON a.task_id = t.id AND a.attempt = t.accepted_attempt
 WHERE t.group_id = u.group_id AND a.started_at IS NOT NULL
 GROUP BY u.group_id;

-- name: earlier
SELECT count(*) FROM (SELECT FROM tasks
                       WHERE group_id = $1 AND state = 'ready' AND (priority > $2 OR (priority = $2 AND id < $3))
                       LIMIT 100000) t;
