-- name: keep
-- What was told of tasks, each once in a batch. The newest word is the state, but what its client says is older than
-- what any worker does, whatever their clocks are.
INSERT INTO watched_tasks AS t (protocol, foreign_id, name, worker_id, queue, state, args, kwargs, retries, sent_at,
       received_at, started_at, ended_at, run_s, result, error, told_at, changed_at)
SELECT $1, n.*, farm_now()
  FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::integer[],
              $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[], $14::float8[],
              $15::text[], $16::text[], $17::timestamptz[]) AS n
    ON CONFLICT (protocol, foreign_id) DO UPDATE SET
       name = coalesce(excluded.name, t.name),
       worker_id = coalesce(excluded.worker_id, t.worker_id),
       queue = coalesce(excluded.queue, t.queue),
       args = coalesce(excluded.args, t.args),
       kwargs = coalesce(excluded.kwargs, t.kwargs),
       retries = greatest(excluded.retries, t.retries),
       sent_at = coalesce(t.sent_at, excluded.sent_at),
       received_at = greatest(excluded.received_at, t.received_at),
       started_at = greatest(excluded.started_at, t.started_at),
       state = CASE WHEN excluded.state <> 'sent' AND (t.state = 'sent' OR excluded.told_at >= t.told_at)
                    THEN excluded.state ELSE t.state END,
       ended_at = CASE WHEN excluded.state <> 'sent' AND (t.state = 'sent' OR excluded.told_at >= t.told_at)
                       THEN excluded.ended_at ELSE t.ended_at END,
       run_s = coalesce(excluded.run_s, t.run_s),
       result = coalesce(excluded.result, t.result),
       error = coalesce(excluded.error, t.error),
       told_at = CASE WHEN excluded.state = 'sent' THEN t.told_at WHEN t.state = 'sent' THEN excluded.told_at
                      ELSE greatest(excluded.told_at, t.told_at) END,
       changed_at = farm_now();

-- name: forget
-- Those of which nothing was heard for $2 days, a slice at a time.
DELETE FROM watched_tasks WHERE protocol = $1 AND ctid IN (
       SELECT ctid FROM watched_tasks
        WHERE protocol = $1 AND changed_at < farm_now() - make_interval(days => $2) ORDER BY changed_at LIMIT 10000)
RETURNING 1;

-- name: watched
-- $1: numbers below this; then worker, name and state, each or none.
SELECT number, protocol, foreign_id, name, worker_id AS worker, queue, state, args, kwargs AS keywords, retries,
       sent_at, received_at, started_at, ended_at, run_s, result, error
  FROM watched_tasks
 WHERE number < $1 AND ($2::text IS NULL OR worker_id = $2) AND ($3::text IS NULL OR name = $3)
   AND ($4::text IS NULL OR state = $4)
 ORDER BY number DESC
 LIMIT $5;
