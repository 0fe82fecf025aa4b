-- name: beat
-- Heartbeats take no lock: they write liveness, and only forward; and of one in $7 or so of each worker a sample.
-- What a worker says of its last activity is taken as so many seconds ago: its clock may be wrong.
WITH clock AS MATERIALIZED (SELECT farm_now() AS now),
beat AS (
    UPDATE worker_liveness l
       SET last_seen_at = c.now, last_seq = b.seq, open_sessions = b.open_sessions,
           last_activity_at = greatest(l.last_activity_at, c.now - make_interval(secs => b.inactive_s)),
           sampled_at = CASE WHEN l.sampled_at <= c.now - $7::interval THEN c.now ELSE l.sampled_at END
      FROM clock c, unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::double precision[])
           AS b(worker_id, epoch, seq, stats, open_sessions, inactive_s)
     WHERE l.worker_id = b.worker_id AND l.epoch = b.epoch AND l.last_seq < b.seq
    RETURNING l.worker_id, c.now, l.sampled_at = c.now AS sampled, b.stats::jsonb AS stats),
told AS (
    INSERT INTO worker_stats SELECT b.worker_id, b.stats FROM beat b WHERE b.stats IS NOT NULL ORDER BY 1
    ON CONFLICT (worker_id) DO UPDATE SET stats = excluded.stats)
INSERT INTO samples
SELECT b.now, b.worker_id, (SELECT count(*) FROM attempts a WHERE a.worker_id = b.worker_id AND a.state <> 'ended'),
       figure(stats->>'cpu_percent'),
       figure(stats->'load'->>0), figure(stats->'load'->>1), figure(stats->'load'->>2),
       figure(stats->>'memory_used'), figure(stats->>'memory_total'),
       figure(stats->>'disk_used'), figure(stats->>'disk_total'),
       figure(stats->>'network_received_rate'), figure(stats->>'network_sent_rate'),
       ARRAY(SELECT figure(value) FROM jsonb_array_elements_text(stats->'cores_percent')),
       ARRAY(SELECT figure(g->>'percent') FROM jsonb_array_elements(stats->'gpus') AS g),
       ARRAY(SELECT figure(g->>'memory_used') FROM jsonb_array_elements(stats->'gpus') AS g),
       ARRAY(SELECT figure(g->>'memory_total') FROM jsonb_array_elements(stats->'gpus') AS g),
       ARRAY(SELECT figure(g->>'temperature') FROM jsonb_array_elements(stats->'gpus') AS g),
       stats->'extra'
  FROM beat b WHERE b.sampled;

-- name: renew
-- $4, $5: seconds of the lease, and of its margin. In the order in which the writer takes them, so that nobody waits in
-- a circle; whoever was closed while we waited is not renewed.
WITH named AS MATERIALIZED (
    SELECT l.task_id, l.attempt
      FROM unnest($1::text[], $2::bigint[], $3::integer[]) AS u(worker_id, task_id, attempt)
      JOIN leases l ON l.task_id = u.task_id AND l.attempt = u.attempt AND l.worker_id = u.worker_id
     WHERE l.closed_at IS NULL
     ORDER BY l.task_id, l.attempt
       FOR UPDATE OF l)
UPDATE leases l
   SET until = greatest(l.until, farm_now() + make_interval(secs => $4)),
       free_at = greatest(l.free_at, farm_now() + make_interval(secs => $4 + $5))
  FROM named n
 WHERE l.task_id = n.task_id AND l.attempt = n.attempt AND l.closed_at IS NULL
RETURNING l.worker_id, l.task_id, l.attempt;

-- name: logs
-- Chunks of attempts that are their sender's, once each, as long as the attempt's log has room. Most logs are one chunk,
-- said at once: such a log leaves no size, which is had from the chunk when a second one comes.
WITH chunks AS (
    SELECT DISTINCT ON (u.task_id, u.attempt, u.chunk)
           (a.assigned_at AT TIME ZONE 'UTC')::date AS day, u.task_id, u.attempt, u.chunk, u.text,
           max(u.chunk) OVER (PARTITION BY u.task_id, u.attempt) = 0 AND s.bytes IS NULL AND a.look_at IS NULL
               AND a.assigned_at > (SELECT farm_now() - interval '10 seconds') AS brief
      FROM unnest($1::text[], $2::bigint[], $3::integer[], $4::bigint[], $5::text[])
           AS u(worker_id, task_id, attempt, chunk, text)
      JOIN attempts a ON a.task_id = u.task_id AND a.attempt = u.attempt AND a.worker_id = u.worker_id
      LEFT JOIN log_sizes s ON s.task_id = u.task_id AND s.attempt = u.attempt
     WHERE coalesce(s.bytes, 0) < $6),
brief AS (
    INSERT INTO logs (day, task_id, attempt, chunk, text)
    SELECT day, task_id, attempt, chunk, text FROM chunks WHERE brief
    ON CONFLICT DO NOTHING),
stored AS (
    INSERT INTO logs (day, task_id, attempt, chunk, text)
    SELECT day, task_id, attempt, chunk, text FROM chunks WHERE NOT brief
    ON CONFLICT DO NOTHING
    RETURNING day, task_id, attempt, octet_length(text) AS bytes),
sizes AS (
    SELECT task_id, attempt, sum(bytes) + coalesce((
               SELECT sum(octet_length(l.text)) FROM logs l
                WHERE l.day = min(s.day) AND l.task_id = s.task_id AND l.attempt = s.attempt
                  AND NOT EXISTS (SELECT FROM log_sizes z WHERE z.task_id = s.task_id AND z.attempt = s.attempt)), 0)
               AS bytes
      FROM stored s GROUP BY task_id, attempt)
INSERT INTO log_sizes (task_id, attempt, bytes, truncated, heard_at)
SELECT task_id, attempt, bytes, bytes >= $6, farm_now() FROM sizes
ON CONFLICT (task_id, attempt) DO UPDATE
   SET bytes = log_sizes.bytes + excluded.bytes, truncated = log_sizes.bytes + excluded.bytes >= $6,
       heard_at = excluded.heard_at;

-- name: log_lock
SELECT pg_advisory_xact_lock(hashtextextended('log of ' || $1, $2));

-- name: log_next
-- A further piece of the log of an attempt that is its sender's, who does not count them; one at a time, by the lock.
WITH mine AS (
    SELECT (a.assigned_at AT TIME ZONE 'UTC')::date AS day
      FROM attempts a LEFT JOIN log_sizes s ON s.task_id = a.task_id AND s.attempt = a.attempt
     WHERE a.task_id = $1 AND a.attempt = $2 AND a.worker_id = $3 AND coalesce(s.bytes, 0) < $5),
stored AS (
    INSERT INTO logs (day, task_id, attempt, chunk, text)
    SELECT m.day, $1, $2, coalesce((SELECT max(l.chunk) + 1 FROM logs l
                                     WHERE l.day = m.day AND l.task_id = $1 AND l.attempt = $2), 0), $4
      FROM mine m
    RETURNING octet_length(text) AS bytes)
INSERT INTO log_sizes (task_id, attempt, bytes, truncated, heard_at)
SELECT $1, $2, bytes, bytes >= $5, farm_now() FROM stored
ON CONFLICT (task_id, attempt) DO UPDATE
   SET bytes = log_sizes.bytes + excluded.bytes, truncated = log_sizes.bytes + excluded.bytes >= $5,
       heard_at = excluded.heard_at;

-- name: coordinator_here
-- $3: the connection on which it consumes.
INSERT INTO coordinators (id, software, connection, listening_since) VALUES ($1, $2, $3, farm_now())
ON CONFLICT (id) DO UPDATE
   SET software = excluded.software, started_at = excluded.started_at, seen_at = excluded.seen_at,
       listening_since = excluded.listening_since, connection = excluded.connection, events_at = excluded.events_at,
       heartbeats_at = excluded.heartbeats_at, hears_broker = false, blocked_since = NULL;

-- name: coordinator_alive
-- What it consumed since it last said so: events ($4), heartbeats ($5). Its ear was interrupted ($6), or it said nothing
-- for so long that it may have been: silence counts from now. It may have been taken for dead: then it is here anew.
-- $8: the broker takes nothing from it.
INSERT INTO coordinators (id, software, connection, hears_broker, listening_since) VALUES ($1, $2, $3, $7, farm_now())
ON CONFLICT (id) DO UPDATE
   SET seen_at = farm_now(), connection = excluded.connection, hears_broker = excluded.hears_broker,
       blocked_since = CASE WHEN $8 THEN coalesce(coordinators.blocked_since, farm_now()) END,
       events_at = CASE WHEN $4 THEN farm_now() ELSE coordinators.events_at END,
       heartbeats_at = CASE WHEN $5 THEN farm_now() ELSE coordinators.heartbeats_at END,
       listening_since = CASE
           WHEN $6 OR least(coordinators.seen_at, coordinators.events_at, coordinators.heartbeats_at)
                      < farm_now() - interval '10 seconds'
           THEN farm_now() ELSE coordinators.listening_since END;

-- name: coordinator_gone
DELETE FROM coordinators WHERE id = $1 OR seen_at < farm_now() - interval '1 day';

-- name: end_stuck_sessions
-- Whose client was stopped between the preparation of a statement and its execution: there Postgres heeds neither of the
-- session's time-outs, and what the transaction has locked stays locked. By Postgres's own clock.
SELECT pid, pg_terminate_backend(pid) AS ended, round(extract(epoch FROM clock_timestamp() - state_change))::integer AS silent_s
  FROM pg_stat_activity
 WHERE datname = current_database() AND usename = current_user AND application_name = $1 AND pid <> pg_backend_pid()
   AND state = 'active' AND wait_event = 'ClientRead' AND xact_start IS NOT NULL
   AND state_change < clock_timestamp() - make_interval(secs => $2);

-- name: keep_log_partitions
SELECT keep_log_partitions($1, $2);
