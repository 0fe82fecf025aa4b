-- name: partitions
-- $1, $2: days that samples and 5-minute figures are kept.
SELECT keep_day_partitions('samples', 3, $1), keep_day_partitions('rollups_5m', 3, $2);

-- name: prune
-- What partitions do not prune. $1, $2: days that hours and days are kept; $3, $4: those of samples and 5-minute figures.
WITH hours AS (DELETE FROM rollups WHERE level = '1h' AND at < farm_now() - make_interval(days => $1)),
     days AS (DELETE FROM rollups WHERE level = '1d' AND at < farm_now() - make_interval(days => $2)),
     strays AS (DELETE FROM samples_default WHERE at < farm_now() - make_interval(days => $3))
DELETE FROM rollups_5m_default WHERE at < farm_now() - make_interval(days => $4);

-- name: alone
SELECT pg_try_advisory_xact_lock($1);

-- name: window
-- The next stretch of $2 (an interval) to be made of level $1, whose ground is made until $3; NULL: nothing to do yet.
-- Stretches without a sample are skipped.
SELECT w.start, w.start + $2::interval AS stop
  FROM rollup_levels l
 CROSS JOIN LATERAL (
       SELECT date_bin($2, min(g.at), 'epoch') AS start
         FROM (SELECT min(s.at) AS at FROM samples s WHERE $1 = '5m' AND s.at >= l.done_until
               UNION ALL
               SELECT min(r.at) FROM rollups r WHERE r.level = CASE $1 WHEN '1h' THEN '5m' WHEN '1d' THEN '1h' END
                                                 AND r.metric = 'held' AND r.at >= l.done_until) AS g) AS w
 WHERE l.level = $1 AND w.start + $2 <= $3;

-- name: ground
-- Until when the ground of level $1 is complete: samples that are a minute old, or the level before.
SELECT CASE $1 WHEN '5m' THEN farm_now() - interval '1 minute'
               ELSE (SELECT done_until FROM rollup_levels WHERE level = CASE $1 WHEN '1h' THEN '5m' ELSE '1h' END) END;

-- name: done
UPDATE rollup_levels SET done_until = greatest(done_until, $2) WHERE level = $1;

-- name: caught_up
-- There is nothing of level $1 before the last $2 (an interval) that ended by $3.
UPDATE rollup_levels SET done_until = greatest(done_until, date_bin($2, $3, 'epoch')) WHERE level = $1;

-- name: roll_samples
-- The 5 minutes from $1 to $2. $3: the metrics that every sample has.
INSERT INTO rollups
WITH worked AS (
    SELECT DISTINCT worker_id FROM history
     WHERE at >= $1 AND at < $2 AND task_id IS NOT NULL AND worker_id IS NOT NULL),
figures AS MATERIALIZED (
    SELECT s.worker_id, m.metric, u.variant::smallint AS variant, u.value::double precision AS value
      FROM samples s
     CROSS JOIN LATERAL (SELECT unnest($3::text[]) AS metric
                         UNION ALL
                         SELECT key FROM jsonb_object_keys(s.extra) AS key WHERE key <> ALL ($3::text[])) AS m
     CROSS JOIN LATERAL unnest(sample_values(s, m.metric)) WITH ORDINALITY AS u(value, variant)
     WHERE s.at >= $1 AND s.at < $2 AND u.value IS NOT NULL),
parts AS (
    SELECT worker_id, metric, variant, count(*) AS n, min(value) AS low, max(value) AS high, sum(value) AS total
      FROM figures GROUP BY worker_id, metric, variant),
wholes AS (
    SELECT worker_id, metric, sum(n) AS n, min(low) AS low, max(high) AS high, sum(total) AS total,
           max(variant) > 1 AS many, array_agg(variant ORDER BY variant) AS variants,
           array_agg(n ORDER BY variant) AS counts, array_agg(low ORDER BY variant) AS lows,
           array_agg(high ORDER BY variant) AS highs, array_agg(total ORDER BY variant) AS totals
      FROM parts GROUP BY worker_id, metric),
buckets AS (
    SELECT worker_id, metric, sketch_key(value) AS key, count(*) AS tally FROM figures GROUP BY 1, 2, 3),
sketches AS (
    SELECT worker_id, metric, array_agg(key ORDER BY key) AS keys, array_agg(tally ORDER BY key) AS tallies
      FROM buckets GROUP BY worker_id, metric)
SELECT '5m', w.metric, $1, w.worker_id, w.n, w.low,
       -- Who had a task between two samples was active too.
       CASE WHEN w.metric = 'active' AND EXISTS (SELECT FROM worked WHERE worked.worker_id = w.worker_id)
            THEN 1 ELSE w.high END,
       w.total, CASE WHEN many THEN w.variants END, CASE WHEN many THEN w.counts END, CASE WHEN many THEN w.lows END,
       CASE WHEN many THEN w.highs END, CASE WHEN many THEN w.totals END, k.keys, k.tallies
  FROM wholes w JOIN sketches k USING (worker_id, metric)
ON CONFLICT (level, metric, at, worker_id) DO UPDATE
   SET n = excluded.n, low = excluded.low, high = excluded.high, total = excluded.total, variants = excluded.variants,
       counts = excluded.counts, lows = excluded.lows, highs = excluded.highs, totals = excluded.totals,
       keys = excluded.keys, tallies = excluded.tallies;

-- name: roll_up
-- From $1 to $2: level $3 of what level $4 has.
INSERT INTO rollups
WITH ground AS MATERIALIZED (SELECT * FROM rollups WHERE level = $4 AND at >= $1 AND at < $2),
parts AS (
    SELECT g.worker_id, g.metric, p.variant, sum(p.n) AS n, min(p.low) AS low, max(p.high) AS high,
           sum(p.total) AS total
      FROM ground g
     CROSS JOIN LATERAL unnest(coalesce(g.variants, '{1}'), coalesce(g.counts, ARRAY[g.n]), coalesce(g.lows, ARRAY[g.low]),
                               coalesce(g.highs, ARRAY[g.high]), coalesce(g.totals, ARRAY[g.total]))
           AS p(variant, n, low, high, total)
     GROUP BY g.worker_id, g.metric, p.variant),
several AS (
    SELECT worker_id, metric, array_agg(variant ORDER BY variant) AS variants, array_agg(n ORDER BY variant) AS counts,
           array_agg(low ORDER BY variant) AS lows, array_agg(high ORDER BY variant) AS highs,
           array_agg(total ORDER BY variant) AS totals
      FROM parts GROUP BY worker_id, metric HAVING max(variant) > 1),
wholes AS (
    SELECT worker_id, metric, sum(n) AS n, min(low) AS low, max(high) AS high, sum(total) AS total
      FROM ground GROUP BY worker_id, metric),
buckets AS (
    SELECT g.worker_id, g.metric, b.key, sum(b.tally)::bigint AS tally
      FROM ground g CROSS JOIN LATERAL unnest(g.keys, g.tallies) AS b(key, tally) GROUP BY 1, 2, 3),
sketches AS (
    SELECT worker_id, metric, array_agg(key ORDER BY key) AS keys, array_agg(tally ORDER BY key) AS tallies
      FROM buckets GROUP BY worker_id, metric)
SELECT $3, w.metric, $1, w.worker_id, w.n, w.low, w.high, w.total,
       s.variants, s.counts, s.lows, s.highs, s.totals, k.keys, k.tallies
  FROM wholes w JOIN sketches k USING (worker_id, metric) LEFT JOIN several s USING (worker_id, metric)
ON CONFLICT (level, metric, at, worker_id) DO UPDATE
   SET n = excluded.n, low = excluded.low, high = excluded.high, total = excluded.total, variants = excluded.variants,
       counts = excluded.counts, lows = excluded.lows, highs = excluded.highs, totals = excluded.totals,
       keys = excluded.keys, tallies = excluded.tallies;

-- name: levels
-- Until when each level is made, and the time.
SELECT coalesce(max(done_until) FILTER (WHERE level = '5m'), 'epoch') AS "5m",
       coalesce(max(done_until) FILTER (WHERE level = '1h'), 'epoch') AS "1h",
       coalesce(max(done_until) FILTER (WHERE level = '1d'), 'epoch') AS "1d", farm_now() AS now
  FROM rollup_levels;

-- name: metrics
-- The metrics that rolled-up figures have, each found by one step in the index.
WITH RECURSIVE found AS (
    (SELECT metric FROM rollups WHERE level = $1 ORDER BY metric LIMIT 1)
    UNION ALL
    SELECT (SELECT r.metric FROM rollups r WHERE r.level = $1 AND r.metric > f.metric ORDER BY r.metric LIMIT 1)
      FROM found f WHERE f.metric IS NOT NULL)
SELECT metric FROM found WHERE metric IS NOT NULL;

-- name: series
-- $1, $2, $3: levels, each from when to when; $4 to $5: samples; $6: metric; $7: interval; $8: workers, or all; $9: a
-- line for each of them.
SELECT f.worker, f.variant, array_agg(f.at ORDER BY f.at) AS at, array_agg(f.count ORDER BY f.at) AS count,
       array_agg(f.min ORDER BY f.at) AS min, array_agg(f.max ORDER BY f.at) AS max,
       array_agg(f.sum / f.count ORDER BY f.at) AS mean
  FROM (SELECT CASE WHEN $9 THEN p.worker_id COLLATE "C" END AS worker, NULL::smallint AS variant, date_bin($7, p.at, 'epoch') AS at,
               sum(p.n)::bigint AS count, min(p.low) AS min, max(p.high) AS max, sum(p.total) AS sum
          FROM (SELECT r.worker_id, r.at, r.n, r.low, r.high, r.total
                  FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS w(level, since, until)
                  JOIN rollups r ON r.level = w.level AND r.at >= w.since AND r.at < w.until
                 WHERE r.metric = $6 AND ($8::text[] IS NULL OR r.worker_id = ANY($8))
                UNION ALL
                SELECT s.worker_id, s.at, 1, v.value, v.value, v.value
                  FROM samples s CROSS JOIN LATERAL unnest(sample_values(s, $6)) AS v(value)
                 WHERE s.at >= $4 AND s.at < $5 AND v.value IS NOT NULL AND ($8::text[] IS NULL OR s.worker_id = ANY($8))) AS p
         GROUP BY 1, 3) AS f
 GROUP BY f.worker, f.variant ORDER BY f.worker, f.variant;

-- name: series_of_variants
-- The same with a line for each core or GPU.
SELECT f.worker, f.variant, array_agg(f.at ORDER BY f.at) AS at, array_agg(f.count ORDER BY f.at) AS count,
       array_agg(f.min ORDER BY f.at) AS min, array_agg(f.max ORDER BY f.at) AS max,
       array_agg(f.sum / f.count ORDER BY f.at) AS mean
  FROM (SELECT CASE WHEN $9 THEN p.worker_id COLLATE "C" END AS worker, p.variant::smallint AS variant, date_bin($7, p.at, 'epoch') AS at,
               sum(p.n)::bigint AS count, min(p.low) AS min, max(p.high) AS max, sum(p.total) AS sum
          FROM (SELECT r.worker_id, r.at, v.variant, v.n, v.low, v.high, v.total
                  FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS w(level, since, until)
                  JOIN rollups r ON r.level = w.level AND r.at >= w.since AND r.at < w.until
                 CROSS JOIN LATERAL unnest(coalesce(r.variants, '{1}'), coalesce(r.counts, ARRAY[r.n]),
                                           coalesce(r.lows, ARRAY[r.low]), coalesce(r.highs, ARRAY[r.high]),
                                           coalesce(r.totals, ARRAY[r.total])) AS v(variant, n, low, high, total)
                 WHERE r.metric = $6 AND ($8::text[] IS NULL OR r.worker_id = ANY($8))
                UNION ALL
                SELECT s.worker_id, s.at, v.variant, 1, v.value, v.value, v.value
                  FROM samples s CROSS JOIN LATERAL unnest(sample_values(s, $6)) WITH ORDINALITY AS v(value, variant)
                 WHERE s.at >= $4 AND s.at < $5 AND v.value IS NOT NULL AND ($8::text[] IS NULL OR s.worker_id = ANY($8))) AS p
         GROUP BY 1, 2, 3) AS f
 GROUP BY f.worker, f.variant ORDER BY f.worker, f.variant;

-- name: sketches
-- Parameters as for series: sketches to be added up where they share an interval.
SELECT CASE WHEN $9 THEN r.worker_id END AS worker, date_bin($7, r.at, 'epoch') AS at, r.keys, r.tallies
  FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS w(level, since, until)
  JOIN rollups r ON r.level = w.level AND r.at >= w.since AND r.at < w.until
 WHERE r.metric = $6 AND ($8::text[] IS NULL OR r.worker_id = ANY($8))
UNION ALL
SELECT b.worker, b.at, array_agg(b.key ORDER BY b.key), array_agg(b.tally ORDER BY b.key)
  FROM (SELECT CASE WHEN $9 THEN s.worker_id END AS worker, date_bin($7, s.at, 'epoch') AS at,
               sketch_key(v.value) AS key, count(*) AS tally
          FROM samples s CROSS JOIN LATERAL unnest(sample_values(s, $6)) AS v(value)
         WHERE s.at >= $4 AND s.at < $5 AND v.value IS NOT NULL AND ($8::text[] IS NULL OR s.worker_id = ANY($8))
         GROUP BY 1, 2, 3) AS b
 GROUP BY b.worker, b.at;

-- name: percentiles
-- From samples themselves, of $1 to $2: the shares $7.
SELECT CASE WHEN $6 THEN s.worker_id END AS worker, date_bin($4, s.at, 'epoch') AS at,
       percentile_disc($7::double precision[]) WITHIN GROUP (ORDER BY v.value::double precision) AS values
  FROM samples s CROSS JOIN LATERAL unnest(sample_values(s, $3)) AS v(value)
 WHERE s.at >= $1 AND s.at < $2 AND v.value IS NOT NULL AND ($5::text[] IS NULL OR s.worker_id = ANY($5))
 GROUP BY 1, 2;

-- name: activity
-- Who was there, and who of them held an attempt. $1 to $5 as for series; $6: interval.
SELECT date_bin($6, p.at, 'epoch') AS at, count(DISTINCT p.worker_id) AS total,
       count(DISTINCT p.worker_id) FILTER (WHERE p.active) AS active
  FROM (SELECT r.worker_id, r.at, r.high > 0 AS active
          FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS w(level, since, until)
          JOIN rollups r ON r.level = w.level AND r.at >= w.since AND r.at < w.until
         WHERE r.metric = 'active'
        UNION ALL
        SELECT s.worker_id, s.at, s.held > 0 FROM samples s WHERE s.at >= $4 AND s.at < $5
        UNION ALL
        SELECT h.worker_id, h.at, true FROM history h
         WHERE h.at >= $4 AND h.at < $5 AND h.task_id IS NOT NULL AND h.worker_id IS NOT NULL) AS p
 GROUP BY 1 ORDER BY 1;
