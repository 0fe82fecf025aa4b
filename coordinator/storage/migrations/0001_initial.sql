-- The farm's truth. Each invariant that a row can break is stated here, so that wrong code cannot store a wrong farm.
-- Times are the database's own. Hot tables are narrow: what never changes (specs, classes) stands apart.

CREATE TABLE coordinators (
    id              text PRIMARY KEY,
    software        text NOT NULL,
    started_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Since when it hears the workers without a break; nobody is judged silent before that plus lost_after.
    listening_since timestamptz
);

CREATE TABLE duties (
    name        text PRIMARY KEY,
    last_run_at timestamptz NOT NULL DEFAULT '-infinity'
);

CREATE TABLE workers (
    id                 text PRIMARY KEY CHECK (id ~ '^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$'),
    protocol           text NOT NULL DEFAULT 'native',
    connection         text NOT NULL CHECK (connection IN ('offline', 'online', 'suspect', 'lost')),
    duty               text NOT NULL CHECK (duty IN
                       ('awake', 'asleep', 'draining', 'error', 'testing', 'starting', 'quarantined')),
    epoch              bigint NOT NULL CHECK (epoch > 0),
    instance           uuid NOT NULL,
    boot_id            text NOT NULL DEFAULT '',
    software           text NOT NULL DEFAULT '',
    platform           jsonb NOT NULL DEFAULT '{}',
    kinds              text[] NOT NULL DEFAULT '{}',
    queues             text[] NOT NULL DEFAULT '{}',
    tags               text[] NOT NULL DEFAULT '{}',
    labels             text[] NOT NULL DEFAULT '{}',
    zone               text NOT NULL DEFAULT 'default',
    slots              integer NOT NULL CHECK (slots BETWEEN 1 AND 500),
    cpus               double precision NOT NULL DEFAULT 0 CHECK (cpus >= 0),
    memory_mb          bigint NOT NULL DEFAULT 0 CHECK (memory_mb >= 0),
    gpus               integer NOT NULL DEFAULT 0 CHECK (gpus >= 0),
    can_restart        boolean NOT NULL DEFAULT false,
    -- What an operator asked for, until the worker has it (restart, offline: until that instance has ended).
    requested_state    text CHECK (requested_state IN ('awake', 'asleep', 'drain', 'offline', 'restart')),
    requested_lazy     boolean NOT NULL DEFAULT true,
    requested_reason   text,
    requested_by       text,
    requested_instance uuid,
    reason             text,
    online_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at         timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What heartbeats write: no other index and room on the page, so that an update moves nothing.
CREATE TABLE worker_liveness (
    worker_id        text PRIMARY KEY REFERENCES workers ON DELETE CASCADE,
    epoch            bigint NOT NULL,
    last_seen_at     timestamptz NOT NULL,
    last_seq         bigint NOT NULL DEFAULT 0,
    stats            jsonb,
    open_sessions    bigint NOT NULL DEFAULT 0,
    last_activity_at timestamptz
) WITH (fillfactor = 70);

-- Tasks with equal requirements share a class: who may run them is decided once for all.
CREATE TABLE classes (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint text NOT NULL UNIQUE,
    queue       text NOT NULL,
    kind        text NOT NULL,
    tags        text[] NOT NULL,
    labels      text[] NOT NULL,
    zone        text,
    slots       integer NOT NULL CHECK (slots > 0),
    cpus        double precision NOT NULL,
    memory_mb   bigint NOT NULL,
    gpus        integer NOT NULL
);

CREATE TABLE jobs (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name                text NOT NULL,
    key                 text UNIQUE,
    submitter           text NOT NULL DEFAULT '',
    queue               text NOT NULL,
    priority            smallint NOT NULL CHECK (priority BETWEEN 0 AND 100),
    state               text NOT NULL CHECK (state IN ('active', 'canceling', 'completed', 'failed', 'canceled')),
    total               integer NOT NULL CHECK (total > 0),
    first_task          bigint NOT NULL,
    -- How many of its tasks have rows; a large job gets them in slices.
    expanded            integer NOT NULL DEFAULT 0 CHECK (expanded BETWEEN 0 AND total),
    n_blocked           integer NOT NULL DEFAULT 0 CHECK (n_blocked >= 0),
    n_scheduled         integer NOT NULL DEFAULT 0 CHECK (n_scheduled >= 0),
    n_ready             integer NOT NULL DEFAULT 0 CHECK (n_ready >= 0),
    n_assigned          integer NOT NULL DEFAULT 0 CHECK (n_assigned >= 0),
    n_running           integer NOT NULL DEFAULT 0 CHECK (n_running >= 0),
    n_completed         integer NOT NULL DEFAULT 0 CHECK (n_completed >= 0),
    n_failed            integer NOT NULL DEFAULT 0 CHECK (n_failed >= 0),
    n_canceled          integer NOT NULL DEFAULT 0 CHECK (n_canceled >= 0),
    cancel_requested_at timestamptz,
    cancel_reason       text,
    submitted_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at         timestamptz,
    CHECK (n_blocked + n_scheduled + n_ready + n_assigned + n_running + n_completed + n_failed + n_canceled = expanded),
    CHECK ((finished_at IS NOT NULL) = (state IN ('completed', 'failed', 'canceled')))
);
CREATE INDEX jobs_unfinished ON jobs (id) WHERE finished_at IS NULL;
CREATE INDEX jobs_growing ON jobs (id) WHERE expanded < total;
CREATE INDEX jobs_canceling ON jobs (id) WHERE state = 'canceling';

-- The ready tasks of one job and one class: assignment chooses among these few rows.
CREATE TABLE groups (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id   bigint NOT NULL REFERENCES jobs ON DELETE CASCADE,
    class_id bigint NOT NULL REFERENCES classes,
    ready    integer NOT NULL DEFAULT 0 CHECK (ready >= 0),
    UNIQUE (job_id, class_id)
) WITH (fillfactor = 70);
CREATE INDEX groups_with_work ON groups (id) WHERE ready > 0;

-- A task as it was submitted; an array's elements share one. Its tasks are first_task, first_task + 1, …
CREATE TABLE specs (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id       bigint NOT NULL REFERENCES jobs ON DELETE CASCADE,
    group_id     bigint NOT NULL REFERENCES groups ON DELETE CASCADE,
    name         text NOT NULL,
    first_task   bigint NOT NULL,
    count        integer NOT NULL CHECK (count > 0),
    is_array     boolean NOT NULL,
    -- The array's values, when it has them; else an element's value is its index.
    array_values jsonb,
    priority     smallint NOT NULL,
    retries      smallint NOT NULL,
    -- What it waits for: [{"name", "first", "count", "promoted"}], tasks first to first + count - 1.
    after        jsonb NOT NULL DEFAULT '[]',
    -- kind, commands, environment, resources, promote, upload
    body         jsonb NOT NULL,
    UNIQUE (job_id, name)
);
CREATE INDEX specs_by_first_task ON specs (first_task);

CREATE SEQUENCE task_ids AS bigint;
CREATE TABLE tasks (
    id               bigint PRIMARY KEY,
    job_id           bigint NOT NULL,
    group_id         bigint NOT NULL,
    spec_id          bigint NOT NULL,
    state            text NOT NULL CHECK (state IN
                     ('blocked', 'scheduled', 'ready', 'assigned', 'running', 'completed', 'failed', 'canceled')),
    priority         smallint NOT NULL,
    run              integer NOT NULL DEFAULT 1 CHECK (run > 0),
    -- The number of its newest attempt; never goes back.
    attempt          integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    accepted_attempt integer,
    failures         smallint NOT NULL DEFAULT 0 CHECK (failures >= 0),
    losses           smallint NOT NULL DEFAULT 0 CHECK (losses >= 0),
    failed_on        text[] NOT NULL DEFAULT '{}',
    retries          smallint NOT NULL DEFAULT 3 CHECK (retries >= 0),
    unmet            integer NOT NULL DEFAULT 0 CHECK (unmet >= 0),
    not_before       timestamptz,
    reason           text,
    changed_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((state = 'completed') = (accepted_attempt IS NOT NULL)),
    CHECK ((state = 'scheduled') = (not_before IS NOT NULL)),
    CHECK (state <> 'blocked' OR unmet > 0),
    CHECK (state <> 'ready' OR unmet = 0)
) WITH (fillfactor = 85);
CREATE INDEX tasks_ready ON tasks (group_id, priority DESC, id) WHERE state = 'ready';
CREATE INDEX tasks_due ON tasks (not_before) WHERE state = 'scheduled';
CREATE INDEX tasks_of_job ON tasks (job_id, id);

CREATE TABLE dependencies (
    task_id  bigint NOT NULL,
    needs    bigint NOT NULL,
    promoted boolean NOT NULL DEFAULT false,
    PRIMARY KEY (task_id, needs)
);
CREATE INDEX dependencies_of ON dependencies (needs);

CREATE TABLE attempts (
    task_id     bigint NOT NULL,
    attempt     integer NOT NULL CHECK (attempt > 0),
    run         integer NOT NULL,
    class_id    bigint NOT NULL,
    worker_id   text NOT NULL,
    epoch       bigint NOT NULL,
    state       text NOT NULL CHECK (state IN ('assigned', 'running', 'stopping', 'ended')),
    ending      text CHECK (ending IN
                ('completed', 'failed', 'canceled', 'interrupted', 'lost', 'revoked', 'superseded')),
    accepted    boolean NOT NULL DEFAULT false,
    -- The newest envelope of its worker that spoke of it: an older heartbeat says nothing about it.
    seen_seq    bigint NOT NULL DEFAULT 0,
    assigned_at timestamptz NOT NULL,
    sent_at     timestamptz NOT NULL,
    sends       smallint NOT NULL DEFAULT 1,
    started_at  timestamptz,
    ended_at    timestamptz,
    promoted_at timestamptz,
    exit_code   integer,
    error       text,
    result      jsonb,
    run_s       double precision,
    done        bigint,
    total       bigint,
    activity    text,
    PRIMARY KEY (task_id, attempt),
    CHECK ((state = 'ended') = (ending IS NOT NULL)),
    CHECK ((state = 'ended') = (ended_at IS NOT NULL)),
    CHECK (NOT accepted OR (ending IS NOT NULL AND ending = 'completed'))
) WITH (fillfactor = 85);
-- At most one live attempt of a task; at most one accepted of a task and run, ever.
CREATE UNIQUE INDEX attempts_one_live ON attempts (task_id) WHERE state IN ('assigned', 'running');
CREATE UNIQUE INDEX attempts_one_accepted ON attempts (task_id, run) WHERE accepted;
CREATE INDEX attempts_held ON attempts (worker_id) INCLUDE (class_id) WHERE state <> 'ended';

CREATE TABLE outputs (
    task_id    bigint NOT NULL,
    attempt    integer NOT NULL,
    name       text NOT NULL,
    size       bigint NOT NULL,
    digest     text NOT NULL,
    media_type text,
    stored     boolean NOT NULL DEFAULT false,
    location   text,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (task_id, attempt, name)
);

-- Every change of state, written by the transaction that made it.
CREATE TABLE history (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL,
    event     text NOT NULL,
    job_id    bigint,
    task_id   bigint,
    attempt   integer,
    worker_id text,
    actor     text,
    detail    jsonb
);
CREATE INDEX history_of_task ON history (task_id, id) WHERE task_id IS NOT NULL;
CREATE INDEX history_of_worker ON history (worker_id, id) WHERE worker_id IS NOT NULL;
CREATE INDEX history_of_job ON history (job_id, id) WHERE task_id IS NULL AND job_id IS NOT NULL;

CREATE TABLE parked (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    queue        text NOT NULL,
    routing_key  text NOT NULL,
    body         bytea NOT NULL,
    headers      jsonb NOT NULL DEFAULT '{}',
    user_id      text,
    message_id   text,
    reason       text NOT NULL,
    field        text NOT NULL DEFAULT '',
    detail       text NOT NULL DEFAULT '',
    state        text NOT NULL DEFAULT 'parked' CHECK (state IN ('parked', 'replayed', 'dropped')),
    closed_at    timestamptz,
    closed_by    text
);
CREATE INDEX parked_open ON parked (id) WHERE state = 'parked';

-- Partitioned by the day on which the attempt was made (every chunk repeats it), so that a chunk is stored once and old
-- days are dropped whole.
CREATE TABLE logs (
    day     date NOT NULL,
    task_id bigint NOT NULL,
    attempt integer NOT NULL,
    chunk   bigint NOT NULL,
    text    text NOT NULL,
    PRIMARY KEY (day, task_id, attempt, chunk)
) PARTITION BY RANGE (day);
CREATE TABLE logs_default PARTITION OF logs DEFAULT;

CREATE FUNCTION keep_log_partitions(ahead integer, retention integer) RETURNS void LANGUAGE plpgsql AS $$
-- Have a partition for today and *ahead* days more; drop those of more than *retention* days ago.
DECLARE
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    one   date;
    old   text;
BEGIN
    FOR one IN SELECT today + n FROM generate_series(0, ahead) AS n LOOP
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF logs FOR VALUES FROM (%L) TO (%L)',
                       'logs_' || to_char(one, 'YYYYMMDD'), one, one + 1);
    END LOOP;
    FOR old IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE i.inhparent = 'logs'::regclass AND c.relname ~ '^logs_[0-9]{8}$'
                  AND c.relname < 'logs_' || to_char(today - retention, 'YYYYMMDD') LOOP
        EXECUTE format('DROP TABLE %I', old);
    END LOOP;
END $$;
SELECT keep_log_partitions(3, 30);

CREATE TABLE log_sizes (
    task_id   bigint NOT NULL,
    attempt   integer NOT NULL,
    bytes     bigint NOT NULL,
    truncated boolean NOT NULL DEFAULT false,
    PRIMARY KEY (task_id, attempt)
) WITH (fillfactor = 70);
