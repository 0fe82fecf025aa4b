-- name: coordinators
-- Those that still count, with what they consumed last of the queue that they have waited for longest.
SELECT id, listening_since, least(events_at, heartbeats_at) AS consumed_at
  FROM coordinators WHERE least(events_at, heartbeats_at) > farm_now() - interval '45 seconds';

-- name: silent_workers
-- $1: seconds of silence that are worth a look, of who has no rhythm of its own. Suspects always are.
SELECT w.id
  FROM workers w JOIN worker_liveness l ON l.worker_id = w.id
 WHERE w.connection = 'suspect'
    OR (w.connection = 'online' AND l.last_seen_at < farm_now() - make_interval(secs => coalesce(2 * w.heartbeat_s, $1)));

-- name: zones
-- $1: the window in which workers turn suspect together. Those of another protocol are heard by other roads: they are
-- counted by themselves, as `protocol.neighbourhood` names them.
SELECT CASE WHEN protocol = 'native' THEN zone ELSE zone || ':' || protocol END AS zone,
       count(*) FILTER (WHERE connection <> 'lost' OR suspect_at > farm_now() - $1::interval)::integer AS workers,
       count(*) FILTER (WHERE connection = 'suspect')::integer AS suspects,
       count(*) FILTER (WHERE suspect_at > farm_now() - $1::interval)::integer AS turned
  FROM workers
 WHERE connection IN ('online', 'suspect') OR (connection = 'lost' AND suspect_at > farm_now() - $1::interval)
 GROUP BY 1;

-- name: freezes
SELECT zone, guard, since, workers, suspects, counted_at, lost FROM freezes;

-- name: freeze
INSERT INTO freezes (zone, guard, since, workers, suspects, counted_at, lost) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (zone) DO UPDATE SET guard = excluded.guard, counted_at = excluded.counted_at, lost = excluded.lost;

-- name: calm
DELETE FROM freezes WHERE zone = ANY($1::text[]);

-- name: coordinators_closed
DELETE FROM coordinators WHERE connection = ANY($1::text[]);
