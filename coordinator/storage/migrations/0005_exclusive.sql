-- Exclusive tasks: what they ask of a worker, and the leases under which their attempts run.

-- The commands of an exclusive task, each of which its worker must be able to supervise; empty: not exclusive.
ALTER TABLE classes ADD exclusive text[] NOT NULL DEFAULT '{}';
-- The commands that a worker says it can supervise.
ALTER TABLE workers ADD supervises text[] NOT NULL DEFAULT '{}';

-- One row for each attempt of an exclusive task. Heartbeats that name the attempt move `until` forward, without the
-- farm's lock, as long as it is not closed; the writer holds the row from the moment in which it looks at it.
CREATE TABLE leases (
    task_id     bigint NOT NULL,
    attempt     integer NOT NULL,
    worker_id   text NOT NULL,
    -- Its worker may run it until then; null: it was never allowed to start.
    until       timestamptz,
    -- From then on the task may be given to another, whatever its worker does.
    free_at     timestamptz,
    -- The attempt gave up its task: no heartbeat renews the lease any more.
    closed_at   timestamptz,
    -- The lease is in nobody's way any more, and why.
    released_at timestamptz,
    released_by text CHECK (released_by IN ('said', 'never_granted', 'expired')),
    PRIMARY KEY (task_id, attempt),
    FOREIGN KEY (task_id, attempt) REFERENCES attempts ON DELETE CASCADE,
    CHECK ((until IS NULL) = (free_at IS NULL)),
    CHECK (free_at >= until),
    CHECK ((released_at IS NULL) = (released_by IS NULL)),
    CHECK (released_at IS NULL OR closed_at IS NOT NULL),
    CHECK (released_by <> 'never_granted' OR until IS NULL),
    CHECK (released_by <> 'expired' OR released_at >= free_at)
) WITH (fillfactor = 70);
-- At most one lease of a task is in the way of its next attempt.
CREATE UNIQUE INDEX leases_one_held ON leases (task_id) WHERE released_at IS NULL;
