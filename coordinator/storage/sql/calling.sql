-- name: callers
-- Who calls: of his row what most answers need, in the order of the fields of `Caller`, then those of `Signs`.
SELECT w.id, w.protocol, w.foreign_id, w.connection, w.duty, w.instance, w.requested_state, w.requested_lazy,
       w.heartbeat_s, w.lost_after_s, w.software,
       l.last_seq, l.told_at, l.told_active_at, l.last_activity_at, l.open_sessions
  FROM workers w JOIN worker_liveness l ON l.worker_id = w.id
 WHERE w.id = ANY($1::text[]);

-- name: glances
SELECT a.task_id, a.attempt, a.worker_id, a.state, t.state
  FROM unnest($1::bigint[], $2::integer[]) AS named(task_id, attempt)
  JOIN attempts a ON a.task_id = named.task_id AND a.attempt = named.attempt
  JOIN tasks t ON t.id = a.task_id;

-- name: lives
-- Workers that only say that they live; and one in ten seconds or so of each is a sample.
WITH heard AS (
    UPDATE worker_liveness l
       SET last_seen_at = $1, told_at = greatest(l.told_at, $1::timestamptz),
           sampled_at = CASE WHEN l.sampled_at <= $1::timestamptz - interval '10 seconds' THEN $1 ELSE l.sampled_at END
     WHERE l.worker_id = ANY($2::text[])
    RETURNING l.worker_id, l.sampled_at = $1 AS sampled)
INSERT INTO samples (at, worker_id, held, cores, gpu, gpu_memory_used, gpu_memory_total, gpu_temperature)
SELECT $1, h.worker_id, (SELECT count(*) FROM attempts a WHERE a.worker_id = h.worker_id AND a.state <> 'ended'),
       '{}', '{}', '{}', '{}', '{}'
  FROM heard h WHERE h.sampled;

-- name: heard
-- Signs of life of workers behind gateways, and a sample of those that are always kept (2), of others (1) one in ten
-- seconds or so of each, of some none (0).
WITH heard AS (
    UPDATE worker_liveness l
       SET last_seen_at = $1, last_seq = u.seq, told_at = u.told_at,
           told_active_at = u.told_active_at, last_activity_at = u.active_at,
           open_sessions = u.open_sessions,
           sampled_at = CASE WHEN u.kept = 2 OR (u.kept = 1 AND l.sampled_at <= $1::timestamptz - interval '10 seconds')
                             THEN $1 ELSE l.sampled_at END
      FROM unnest($2::text[], $3::bigint[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::bigint[],
                  $8::text[], $9::integer[])
           AS u(worker_id, seq, told_at, told_active_at, active_at, open_sessions, stats, kept)
     WHERE l.worker_id = u.worker_id
    RETURNING l.worker_id, u.kept > 0 AND l.sampled_at = $1 AS sampled, u.stats::jsonb AS stats),
told AS (
    INSERT INTO worker_stats SELECT h.worker_id, h.stats FROM heard h WHERE h.stats IS NOT NULL ORDER BY 1
    ON CONFLICT (worker_id) DO UPDATE SET stats = excluded.stats)
INSERT INTO samples
SELECT $1, h.worker_id, (SELECT count(*) FROM attempts a WHERE a.worker_id = h.worker_id AND a.state <> 'ended'),
       figure(stats->>'cpu_percent'),
       figure(stats->'load'->>0), figure(stats->'load'->>1), figure(stats->'load'->>2),
       figure(stats->>'memory_used'), figure(stats->>'memory_total'), NULL, NULL,
       figure(stats->>'network_received_rate'), figure(stats->>'network_sent_rate'),
       ARRAY(SELECT figure(value) FROM jsonb_array_elements_text(stats->'cores_percent') WITH ORDINALITY AS v(value, n)
              ORDER BY n),
       ARRAY(SELECT figure(g->>'percent') FROM jsonb_array_elements(stats->'gpus') WITH ORDINALITY AS v(g, n) ORDER BY n),
       ARRAY(SELECT figure(g->>'memory_used') FROM jsonb_array_elements(stats->'gpus') WITH ORDINALITY AS v(g, n)
              ORDER BY n),
       ARRAY(SELECT figure(g->>'memory_total') FROM jsonb_array_elements(stats->'gpus') WITH ORDINALITY AS v(g, n)
              ORDER BY n),
       ARRAY(SELECT figure(g->>'temperature') FROM jsonb_array_elements(stats->'gpus') WITH ORDINALITY AS v(g, n)
              ORDER BY n),
       stats->'extra'
  FROM heard h WHERE h.sampled;
