-- What a worker last said of its machine is ten times as long as the rest of its signs of life, and not in each of them:
-- in a row of its own it is not copied with every heartbeat.
CREATE TABLE worker_stats (
    worker_id text PRIMARY KEY REFERENCES worker_liveness ON DELETE CASCADE,
    stats     jsonb NOT NULL
) WITH (fillfactor = 70);

INSERT INTO worker_stats SELECT worker_id, stats FROM worker_liveness WHERE stats IS NOT NULL;

ALTER TABLE worker_liveness DROP COLUMN stats;
