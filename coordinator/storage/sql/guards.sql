-- name: silent_workers
-- $1: seconds of silence that are worth a look, of who has no rhythm of its own. Suspects always are.
SELECT w.id
  FROM workers w JOIN worker_liveness l ON l.worker_id = w.id
 WHERE w.connection = 'suspect'
    OR (w.connection = 'online' AND l.last_seen_at < farm_now() - make_interval(secs => coalesce(2 * w.heartbeat_s, $1)));

-- name: guards
-- Three kinds of rows in one question, because a death should not wait for three answers. Coordinators that still count
-- (at: when they last consumed from the queue that they have waited for longest), freezes, and the zones' counts; $1: the
-- window in which workers turn suspect together. Workers of another protocol are heard by other roads: they are counted by
-- themselves, as `protocol.neighbourhood` names them.
SELECT 'coordinator' AS kind, id AS name, '' AS guard, listening_since AS since, least(events_at, heartbeats_at) AS at,
       0 AS workers, 0 AS suspects, 0 AS count
  FROM coordinators WHERE least(events_at, heartbeats_at) > farm_now() - interval '45 seconds'
UNION ALL
SELECT 'freeze', zone, guard, since, counted_at, workers, suspects, lost FROM freezes
UNION ALL
SELECT 'zone', CASE WHEN protocol = 'native' THEN zone ELSE zone || ':' || protocol END AS name, '', NULL, NULL,
       (count(*) FILTER (WHERE connection <> 'lost' OR suspect_at > farm_now() - $1::interval))::integer,
       (count(*) FILTER (WHERE connection = 'suspect'))::integer,
       (count(*) FILTER (WHERE suspect_at > farm_now() - $1::interval))::integer
  FROM workers
 WHERE connection IN ('online', 'suspect') OR (connection = 'lost' AND suspect_at > farm_now() - $1::interval)
 GROUP BY name;

-- name: freeze
INSERT INTO freezes (zone, guard, since, workers, suspects, counted_at, lost) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (zone) DO UPDATE SET guard = excluded.guard, counted_at = excluded.counted_at, lost = excluded.lost;

-- name: calm
DELETE FROM freezes WHERE zone = ANY($1::text[]);

-- name: coordinators_closed
DELETE FROM coordinators WHERE connection = ANY($1::text[]);
