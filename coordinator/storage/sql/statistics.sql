-- name: partitions
-- $1, $2: days that samples and minutes are kept.
SELECT keep_day_partitions('samples', 3, $1), keep_day_partitions('figures_minutes', 3, $2);

-- name: prune
-- What partitions do not prune. $1 to $4: days that hours, days, samples and minutes are kept.
WITH hours AS (DELETE FROM figures WHERE level = '1h' AND at < farm_now() - make_interval(days => $1)),
     days AS (DELETE FROM figures WHERE level = '1d' AND at < farm_now() - make_interval(days => $2)),
     strays AS (DELETE FROM samples_default WHERE at < farm_now() - make_interval(days => $3))
DELETE FROM figures_minutes_default WHERE at < farm_now() - make_interval(days => $4);

-- name: alone
SELECT pg_try_advisory_xact_lock($1);

-- name: patience
-- A stretch may take longer than what others wait for, and the figures are worked out while the transaction is open: it
-- holds nothing that anybody else needs.
SET LOCAL statement_timeout = '60s';
SET LOCAL idle_in_transaction_session_timeout = '60s';

-- name: ground
-- Until when what a level is made of is complete: samples that are a minute old ($1 is null), or level $1.
SELECT CASE WHEN $1::text IS NULL THEN farm_now() - interval '1 minute'
            ELSE (SELECT done_until FROM rollup_levels WHERE level = $1) END;

-- name: stretch_of_samples
-- The next stretch of $2 (an interval) to be made of level $1 that ends by $3; stretches without a sample are skipped.
-- The least time of all samples takes long to find, so the nearest are looked at first.
SELECT w.start, w.start + $2::interval AS stop
  FROM rollup_levels l
 CROSS JOIN LATERAL (
       SELECT date_bin($2, coalesce(
              (SELECT min(s.at) FROM samples s WHERE s.at >= l.done_until AND s.at < l.done_until + $2),
              (SELECT min(s.at) FROM samples s WHERE s.at >= l.done_until)), 'epoch') AS start) AS w
 WHERE l.level = $1 AND w.start + $2 <= $3;

-- name: stretch
-- The same of level $4.
SELECT w.start, w.start + $2::interval AS stop
  FROM rollup_levels l
 CROSS JOIN LATERAL (SELECT date_bin($2, min(f.at), 'epoch') AS start FROM figures f
                      WHERE f.level = $4 AND f.metric = 'held' AND f.split = 'farm' AND f.at >= l.done_until) AS w
 WHERE l.level = $1 AND w.start + $2 <= $3;

-- name: done
UPDATE rollup_levels SET done_until = greatest(done_until, $2) WHERE level = $1;

-- name: caught_up
-- There is nothing of level $1 before the last $2 (an interval) that ended by $3.
UPDATE rollup_levels SET done_until = greatest(done_until, date_bin($2, $3, 'epoch')) WHERE level = $1;

-- name: clear
DELETE FROM figures WHERE level = $1 AND at = $2;

-- name: put
INSERT INTO figures (level, metric, split, at, first, last, workers, variants, counts, lows, highs, totals, keys, ends)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- name: sampled
SELECT DISTINCT s.worker_id COLLATE "C" AS worker FROM samples s WHERE s.at >= $1 AND s.at < $2 ORDER BY 1;

-- name: worked
-- Who had a task between two samples was active too.
SELECT DISTINCT worker_id FROM history WHERE at >= $1 AND at < $2 AND task_id IS NOT NULL AND worker_id IS NOT NULL;

-- name: samples
-- Those of workers $3, one worker after another.
SELECT worker_id, held, cpu, load, load5, load15, memory_used, memory_total, disk_used, disk_total, network_received,
       network_sent, cores, gpu, gpu_memory_used, gpu_memory_total, gpu_temperature, extra
  FROM samples WHERE at >= $1 AND at < $2 AND worker_id = ANY($3) ORDER BY worker_id COLLATE "C", at;

-- name: levels
-- Until when each level is made, and the time.
SELECT coalesce(max(done_until) FILTER (WHERE level = '5m'), 'epoch') AS "5m",
       coalesce(max(done_until) FILTER (WHERE level = '15m'), 'epoch') AS "15m",
       coalesce(max(done_until) FILTER (WHERE level = '1h'), 'epoch') AS "1h",
       coalesce(max(done_until) FILTER (WHERE level = '1d'), 'epoch') AS "1d", farm_now() AS now
  FROM rollup_levels;

-- name: metrics
-- The metrics that level $1 has, each found by one step in the index.
WITH RECURSIVE found AS (
    (SELECT metric FROM figures WHERE level = $1 ORDER BY metric LIMIT 1)
    UNION ALL
    SELECT (SELECT f.metric FROM figures f WHERE f.level = $1 AND f.metric > o.metric ORDER BY f.metric LIMIT 1)
      FROM found o WHERE o.metric IS NOT NULL)
SELECT metric FROM found WHERE metric IS NOT NULL;

-- name: ground_figures
-- What metric $4 of split $5 has of level $1 from $2 to $3.
SELECT at, workers, variants, counts, lows, highs, totals, keys, ends
  FROM figures WHERE level = $1 AND at >= $2 AND at < $3 AND metric = $4 AND split = $5 ORDER BY at, first;

-- name: figures
-- $1, $2, $3: levels, each from when to when; $4: metrics; $5: split; $6: sketches too; $7, $8: the first and last worker
-- of interest, or all. When they are one, its lines alone, which lie together (unless sketches are wanted: they lie one
-- after another).
SELECT f.metric, f.at, CASE WHEN p.low IS NULL THEN f.workers ELSE array_fill($7::text, ARRAY[p.high - p.low + 1]) END
           AS workers,
       CASE WHEN p.low IS NULL THEN f.variants ELSE f.variants[p.low:p.high] END AS variants,
       CASE WHEN p.low IS NULL THEN f.counts ELSE f.counts[p.low:p.high] END AS counts,
       CASE WHEN p.low IS NULL THEN f.lows ELSE f.lows[p.low:p.high] END AS lows,
       CASE WHEN p.low IS NULL THEN f.highs ELSE f.highs[p.low:p.high] END AS highs,
       CASE WHEN p.low IS NULL THEN f.totals ELSE f.totals[p.low:p.high] END AS totals,
       CASE WHEN $6 THEN f.keys END AS keys, CASE WHEN $6 THEN f.ends END AS ends
  FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS w(level, since, until)
  JOIN figures f ON f.level = w.level AND f.at >= w.since AND f.at < w.until
 CROSS JOIN LATERAL (
       SELECT o.low, o.low - 1 + CASE WHEN f.variants IS NULL THEN 1 ELSE cardinality(array_positions(f.workers, $7)) END
              AS high
         FROM (SELECT CASE WHEN $7 = $8 AND NOT $6 THEN array_position(f.workers, $7) END AS low OFFSET 0) AS o
       OFFSET 0) AS p
 WHERE f.metric = ANY($4) AND f.split = $5 AND ($7::text IS NULL OR f.first <= $8 AND f.last >= $7)
 ORDER BY f.metric, f.at, f.first;

-- name: planned
-- How samples are found best depends on how many workers and hours are asked for.
SET LOCAL plan_cache_mode = force_custom_plan;

-- name: sums
-- Of samples from $1 to $2, in intervals of $4: metrics $3, of workers $5 or all; $6: split; $7: they are of those that
-- some measure beside what all do. As columns, like figures, without sketches; sorted once, for all columns.
SELECT metric, at, array_agg(worker) AS workers,
       CASE WHEN $6 = 'variant' THEN array_agg(variant) END AS variants,
       array_agg(n) AS counts, array_agg(low) AS lows, array_agg(high) AS highs, array_agg(total) AS totals,
       NULL AS keys, NULL AS ends
  FROM (SELECT m.metric COLLATE "C" AS metric, date_bin($4, s.at, 'epoch') AS at,
               (CASE WHEN $6 = 'farm' THEN '' ELSE s.worker_id END) COLLATE "C" AS worker,
               CASE WHEN $6 = 'variant' THEN v.variant END AS variant, count(*) AS n, min(v.value) AS low,
               max(v.value) AS high, sum(v.value::double precision) AS total
          FROM samples s
         CROSS JOIN unnest($3::text[]) AS m(metric)
         CROSS JOIN LATERAL (
               SELECT figure(e.text) AS value, e.variant
                 FROM jsonb_array_elements_text(s.extra -> m.metric) WITH ORDINALITY AS e(text, variant) WHERE $7
                UNION ALL
               SELECT o.value, o.variant
                 FROM unnest(sample_values(s, m.metric)) WITH ORDINALITY AS o(value, variant) WHERE NOT $7) AS v
         WHERE s.at >= $1 AND s.at < $2 AND v.value IS NOT NULL AND ($5::text[] IS NULL OR s.worker_id = ANY($5))
         GROUP BY 1, 2, 3, 4
         ORDER BY 1, 2, 3, 4) AS lines
 GROUP BY metric, at ORDER BY metric, at;

-- name: values
-- The values themselves, a row for each sample. $1 to $7 as for sums, but one metric.
SELECT date_bin($4, s.at, 'epoch') AS at, CASE WHEN $6 = 'farm' THEN '' ELSE s.worker_id END AS worker,
       CASE WHEN $7 THEN ARRAY(SELECT figure(e.text) FROM jsonb_array_elements_text(s.extra -> $3) AS e(text))
            ELSE sample_values(s, $3) END AS values
  FROM samples s
 WHERE s.at >= $1 AND s.at < $2 AND ($5::text[] IS NULL OR s.worker_id = ANY($5)) ORDER BY 1, 2;

-- name: present
-- Of samples from $1 to $2, in intervals of $3: who was there, and who of them held an attempt, or had a task in the same
-- stretch (of $4) as a sample: as roll-ups say it.
WITH worked AS (
    SELECT DISTINCT date_bin($4, h.at, 'epoch') AS at, h.worker_id FROM history h
     WHERE h.at >= $1 AND h.at < $2 AND h.task_id IS NOT NULL AND h.worker_id IS NOT NULL),
     sampled AS (
    SELECT date_bin($4, s.at, 'epoch') AS at, s.worker_id, bool_or(s.held > 0) AS held
      FROM samples s WHERE s.at >= $1 AND s.at < $2 GROUP BY 1, 2)
SELECT date_bin($3, p.at, 'epoch') AS at, array_agg(DISTINCT p.worker_id) AS total,
       coalesce(array_agg(DISTINCT p.worker_id) FILTER (WHERE p.held OR w.worker_id IS NOT NULL), '{}') AS active
  FROM sampled p LEFT JOIN worked w USING (at, worker_id)
 GROUP BY 1;
