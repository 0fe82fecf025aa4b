-- Workers that speak another farm's protocol, through a gateway.
ALTER TABLE workers
    -- What its own protocol calls it; our own agents have no other name.
    ADD COLUMN foreign_id text,
    -- How often it says something, and after how much silence it is lost. Null: as the farm's own agents.
    ADD COLUMN heartbeat_s double precision CHECK (heartbeat_s > 0),
    ADD COLUMN lost_after_s double precision CHECK (lost_after_s >= heartbeat_s),
    ADD CHECK ((protocol = 'native') = (foreign_id IS NULL)),
    ADD CHECK ((protocol = 'native') = (heartbeat_s IS NULL)),
    ADD CHECK ((heartbeat_s IS NULL) = (lost_after_s IS NULL)),
    -- Nobody ends its processes when its lease is over, so it never has an exclusive task.
    ADD CHECK (protocol = 'native' OR supervises = '{}');
CREATE UNIQUE INDEX workers_foreign ON workers (protocol, foreign_id) WHERE foreign_id IS NOT NULL;

-- The newest times at which a gateway's worker says that it sent something and was active; never later than our own.
ALTER TABLE worker_liveness ADD COLUMN told_at timestamptz, ADD COLUMN told_active_at timestamptz;

-- What such workers show: good for one gateway (and perhaps one worker, `subject`), for nothing else.
ALTER TABLE access_tokens
    DROP CONSTRAINT access_tokens_prefix_check,
    ADD COLUMN gateway text CHECK (gateway ~ '^[a-z][a-z0-9_]{0,31}$'),
    ADD COLUMN subject text CHECK (octet_length(subject) BETWEEN 1 AND 512),
    ADD CHECK (gateway IS NULL OR role = 'agent'),
    ADD CHECK (gateway IS NOT NULL OR subject IS NULL),
    ADD CHECK (CASE WHEN gateway IS NULL THEN prefix ~ '^fht_[0-9a-f]{12}$' ELSE prefix ~ '^[!-~]{8,64}$' END);
