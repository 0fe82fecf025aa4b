-- The broker's own word on a worker's connection, and the guards before a loss.
ALTER TABLE workers
    -- The name of the connection on which it consumes.
    ADD COLUMN connection_name text NOT NULL DEFAULT '',
    -- Since when it is suspect; kept while it is lost.
    ADD COLUMN suspect_at timestamptz,
    -- When the broker said that this connection closed, while nothing has shown that it is back.
    ADD COLUMN cut_at timestamptz;
UPDATE workers SET suspect_at = changed_at WHERE connection IN ('suspect', 'lost');
ALTER TABLE workers
    ADD CHECK (connection <> 'suspect' OR suspect_at IS NOT NULL),
    ADD CHECK (suspect_at IS NULL OR connection IN ('suspect', 'lost')),
    ADD CHECK (cut_at IS NULL OR connection = 'suspect');
CREATE INDEX workers_suspect ON workers (zone) WHERE connection = 'suspect';

UPDATE coordinators SET listening_since = farm_now() WHERE listening_since IS NULL;
ALTER TABLE coordinators
    ALTER COLUMN listening_since SET DEFAULT farm_now(),
    ALTER COLUMN listening_since SET NOT NULL,
    -- The connection on which it consumes, and whether it hears the broker's own word on others'.
    ADD COLUMN connection text NOT NULL DEFAULT '',
    ADD COLUMN hears_broker boolean NOT NULL DEFAULT false,
    -- When it last consumed something of each queue, canaries included.
    ADD COLUMN events_at timestamptz NOT NULL DEFAULT farm_now(),
    ADD COLUMN heartbeats_at timestamptz NOT NULL DEFAULT farm_now();

-- Where nobody, or few, may be lost for the moment: a zone in which many turned suspect together; the whole farm (zone
-- '') while a coordinator consumes nothing. What is calm has no row.
CREATE TABLE freezes (
    zone       text PRIMARY KEY,
    guard      text NOT NULL CHECK (guard IN ('frozen', 'limited', 'opened')),
    since      timestamptz NOT NULL,
    -- How many there were (workers; of the farm: coordinators), and how many of them were suspect (deaf).
    workers    integer NOT NULL CHECK (workers >= 0),
    suspects   integer NOT NULL CHECK (suspects >= 0),
    -- While it is limited: how many were given up since then.
    counted_at timestamptz NOT NULL,
    lost       integer NOT NULL DEFAULT 0 CHECK (lost >= 0),
    CHECK (zone <> '' OR guard = 'frozen'),
    CHECK (guard <> 'limited' OR lost <= greatest(1, floor(workers * 0.1)))
);
