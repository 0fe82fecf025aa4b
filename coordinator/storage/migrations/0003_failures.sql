-- Failures, blocklists, worker health.

-- What the submitter decided about failure, as far as it differs from the defaults; null: nothing does.
ALTER TABLE jobs ADD COLUMN policy jsonb;
-- Failures for want of memory, disk or time are counted apart from the task's own.
ALTER TABLE tasks ADD COLUMN shortages smallint NOT NULL DEFAULT 0 CHECK (shortages >= 0);
ALTER TABLE attempts ADD COLUMN cause text;

-- The tasks of a kind that a worker failed in a job and nobody else has; since blocked_at it gets no more of them.
CREATE TABLE blocklist (
    job_id     bigint NOT NULL REFERENCES jobs ON DELETE CASCADE,
    kind       text NOT NULL,
    worker_id  text NOT NULL REFERENCES workers ON DELETE CASCADE,
    failures   integer NOT NULL CHECK (failures >= 0),
    failed_at  timestamptz NOT NULL,
    blocked_at timestamptz CHECK (blocked_at IS NULL OR failures > 0),
    PRIMARY KEY (job_id, kind, worker_id)
);
CREATE INDEX blocklist_of_worker ON blocklist (worker_id);
-- How many of them are blocked: assignment looks at the list only where there is one.
ALTER TABLE jobs ADD COLUMN blocklisted integer NOT NULL DEFAULT 0 CHECK (blocklisted >= 0);
