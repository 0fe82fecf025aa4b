-- Tasks that workers behind gateways have from elsewhere, as far as their protocol tells of them.
CREATE TABLE watched_tasks (
    number      bigint GENERATED ALWAYS AS IDENTITY,
    protocol    text NOT NULL,
    foreign_id  text NOT NULL CHECK (length(foreign_id) BETWEEN 1 AND 600),
    name        text CHECK (length(name) <= 512),
    worker_id   text,
    queue       text,
    state       text NOT NULL
                CHECK (state IN ('sent', 'received', 'started', 'retry', 'succeeded', 'failed', 'revoked', 'rejected')),
    args        text,
    kwargs      text,
    retries     integer,
    sent_at     timestamptz,
    received_at timestamptz,
    started_at  timestamptz,
    ended_at    timestamptz,
    run_s       double precision CHECK (run_s >= 0),
    result      text,
    error       text,
    told_at     timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL DEFAULT farm_now(),
    PRIMARY KEY (protocol, foreign_id),
    CHECK ((ended_at IS NULL) = (state IN ('sent', 'received', 'started', 'retry')))
);
CREATE UNIQUE INDEX watched_tasks_number ON watched_tasks (number);
CREATE INDEX watched_tasks_changed ON watched_tasks (changed_at);
CREATE INDEX watched_tasks_worker ON watched_tasks (worker_id, number);
