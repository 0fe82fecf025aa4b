-- Schedules, templates, dynamic tasks, retention.

CREATE TABLE templates (
    name       text NOT NULL,
    version    integer NOT NULL CHECK (version > 0),
    -- description, parameters, job
    spec       jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT farm_now(),
    created_by text NOT NULL,
    PRIMARY KEY (name, version)
);

CREATE TABLE schedules (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name             text NOT NULL UNIQUE,
    cron             text NOT NULL,
    timezone         text NOT NULL,
    missed           text NOT NULL CHECK (missed IN ('skip', 'once', 'all')),
    most_missed      smallint NOT NULL CHECK (most_missed BETWEEN 1 AND 100),
    overlap          text NOT NULL CHECK (overlap IN ('allow', 'skip', 'replace')),
    -- What it submits: a job as it is, or a template (its newest version, or one) with parameters.
    job              jsonb,
    template         text,
    template_version integer,
    parameters       jsonb NOT NULL DEFAULT '{}',
    -- The next instant that has not been decided; null when the expression names none any more.
    next_at          timestamptz,
    last_job         bigint,
    paused_at        timestamptz,
    paused_by        text,
    pause_reason     text,
    created_at       timestamptz NOT NULL DEFAULT farm_now(),
    created_by       text NOT NULL,
    CHECK ((job IS NULL) <> (template IS NULL))
);
CREATE INDEX schedules_due ON schedules (next_at) WHERE paused_at IS NULL;

-- What became of each instant; an instant is decided once.
CREATE TABLE schedule_runs (
    schedule_id bigint NOT NULL REFERENCES schedules ON DELETE CASCADE,
    instant     timestamptz NOT NULL,
    by_hand     boolean NOT NULL DEFAULT false,
    at          timestamptz NOT NULL DEFAULT farm_now(),
    outcome     text NOT NULL CHECK (outcome IN ('submitted', 'missed', 'overlapped', 'refused')),
    job_id      bigint,
    detail      text,
    PRIMARY KEY (schedule_id, instant, by_hand),
    CHECK ((outcome = 'submitted') = (job_id IS NOT NULL))
);

-- What happened to neither a task, a job nor a worker: to schedules and templates.
CREATE INDEX history_of_farm ON history (id) WHERE task_id IS NULL AND job_id IS NULL AND worker_id IS NULL;
CREATE INDEX history_by_time ON history USING brin (at);

-- Where a job comes from: {"template", "version", "schedule", "instant"}.
ALTER TABLE jobs ADD origin jsonb;

-- Dynamic tasks: how many of a job's tasks were made by its tasks; those are not numbered from first_task on.
ALTER TABLE jobs ADD spawned integer NOT NULL DEFAULT 0 CHECK (spawned >= 0 AND spawned <= total);
ALTER TABLE jobs ADD max_spawned integer NOT NULL DEFAULT 10000 CHECK (max_spawned >= 0);
ALTER TABLE specs ADD parent bigint;
ALTER TABLE specs ADD parent_run integer;
ALTER TABLE specs ADD depth smallint NOT NULL DEFAULT 0;
ALTER TABLE specs ADD CHECK ((parent IS NULL) = (parent_run IS NULL) AND (parent IS NULL) = (depth = 0));
ALTER TABLE specs DROP CONSTRAINT specs_job_id_name_key;
CREATE UNIQUE INDEX specs_once ON specs (job_id, coalesce(parent, 0), coalesce(parent_run, 0), name);
CREATE INDEX specs_of_parent ON specs (parent) WHERE parent IS NOT NULL;

-- A change of tags gives a job's groups other classes; two of them may then have the same one.
ALTER TABLE groups DROP CONSTRAINT groups_job_id_class_id_key;
CREATE INDEX groups_of_job ON groups (job_id, class_id);

-- Retention: a job is set aside first (archived_at), then its rows go in slices, its own row at last.
ALTER TABLE jobs ADD keep boolean NOT NULL DEFAULT false;
ALTER TABLE jobs ADD archived_at timestamptz CHECK (archived_at IS NULL OR finished_at IS NOT NULL AND NOT keep);
CREATE INDEX jobs_old ON jobs (finished_at) WHERE finished_at IS NOT NULL AND NOT keep AND archived_at IS NULL;
CREATE INDEX jobs_archived ON jobs (id) WHERE archived_at IS NOT NULL;
CREATE INDEX outputs_by_digest ON outputs (digest) WHERE stored;

CREATE TABLE archives (
    job_id      bigint PRIMARY KEY,
    name        text NOT NULL,
    submitter   text NOT NULL,
    state       text NOT NULL CHECK (state IN ('completed', 'failed', 'canceled')),
    finished_at timestamptz NOT NULL,
    archived_at timestamptz NOT NULL,
    archived_by text NOT NULL,
    reason      text,
    -- The job as `jobs show` tells of it, with sums over its tasks and the first failures.
    summary     jsonb NOT NULL
);
CREATE INDEX archives_by_time ON archives (archived_at);
