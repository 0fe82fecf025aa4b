-- name: due
-- Workers whose sleep schedule changes, or whose request is to go on at once.
SELECT id FROM workers WHERE sleep_next_at <= $1
UNION
SELECT id FROM workers WHERE requested_deadline_at <= $1
LIMIT 1000;

-- name: idle
-- Online workers that say that they have had nothing to do for as long as their policy allows.
SELECT w.id, l.open_sessions, l.last_activity_at,
       coalesce(w.idle_action, d.action) AS action, coalesce(w.idle_after_s, d.after_s) AS after_s
  FROM workers w JOIN worker_liveness l ON l.worker_id = w.id LEFT JOIN idle_default d ON true
 WHERE w.connection = 'online' AND w.duty IN ('awake', 'asleep')
   AND coalesce(w.idle_action, d.action) <> 'off'
   AND l.open_sessions = 0
   AND l.last_activity_at <= $1::timestamptz - make_interval(secs => coalesce(w.idle_after_s, d.after_s))
   AND NOT EXISTS (SELECT FROM attempts a WHERE a.worker_id = w.id AND a.state <> 'ended')
 ORDER BY l.last_activity_at LIMIT 1000;

-- name: gone
SELECT w.id
  FROM workers w JOIN worker_liveness l ON l.worker_id = w.id
 WHERE w.connection IN ('offline', 'lost') AND l.last_seen_at <= $1::timestamptz - $2::interval
 LIMIT 1000;

-- name: remove
-- What they did stays: history and attempts name them.
DELETE FROM workers WHERE id = ANY($1::text[]);

-- name: set_idle_default
INSERT INTO idle_default (action, after_s) VALUES ($1, $2)
ON CONFLICT (one) DO UPDATE SET action = excluded.action, after_s = excluded.after_s;
