-- Limits, licenses, fair share, pauses: what operators set, beside what it is counted from.

-- Attempts of the group that have not ended, `stopping` ones included. An invariant compares it with the attempts.
ALTER TABLE groups ADD COLUMN held integer NOT NULL DEFAULT 0 CHECK (held >= 0);
UPDATE groups g SET held = counted.held
  FROM (SELECT t.group_id, count(*)::integer AS held
          FROM attempts a JOIN tasks t ON t.id = a.task_id
         WHERE a.state <> 'ended'
         GROUP BY t.group_id) AS counted
 WHERE g.id = counted.group_id;
CREATE INDEX groups_in_use ON groups (id) WHERE held > 0;

ALTER TABLE jobs
    ADD COLUMN n_paused     integer NOT NULL DEFAULT 0 CHECK (n_paused >= 0),
    -- As many of its tasks may be held at once.
    ADD COLUMN task_limit   integer CHECK (task_limit > 0),
    ADD COLUMN limit_set_at timestamptz,
    ADD COLUMN paused_at    timestamptz,
    ADD COLUMN paused_by    text,
    ADD COLUMN pause_reason text,
    ADD CONSTRAINT jobs_pause CHECK ((paused_at IS NULL) = (paused_by IS NULL)),
    DROP CONSTRAINT jobs_check1,
    ADD CONSTRAINT jobs_counts CHECK (n_blocked + n_scheduled + n_paused + n_ready + n_assigned + n_running
                                      + n_completed + n_failed + n_canceled = expanded);

ALTER TABLE tasks
    DROP CONSTRAINT tasks_state_check,
    ADD CONSTRAINT tasks_state_check CHECK (state IN
        ('blocked', 'scheduled', 'paused', 'ready', 'assigned', 'running', 'completed', 'failed', 'canceled'));

-- License -> how many of them each task takes while it is held.
ALTER TABLE classes ADD COLUMN licenses jsonb NOT NULL DEFAULT '{}';

CREATE TABLE limits (
    scope  text NOT NULL CHECK (scope IN ('queue', 'kind', 'submitter', 'license')),
    name   text NOT NULL CHECK (name <> ''),
    total  integer NOT NULL CHECK (total >= 0),
    set_at timestamptz NOT NULL,
    set_by text NOT NULL,
    reason text,
    PRIMARY KEY (scope, name)
);

CREATE TABLE weights (
    submitter text PRIMARY KEY,
    weight    double precision NOT NULL CHECK (weight > 0 AND weight <= 1000),
    set_at    timestamptz NOT NULL,
    set_by    text NOT NULL,
    reason    text
);

CREATE TABLE paused_queues (
    name      text PRIMARY KEY,
    paused_at timestamptz NOT NULL,
    paused_by text NOT NULL,
    reason    text
);

-- Who was served when, by fair share, while several submitters waited in a queue; numbers only grow.
CREATE TABLE turns (
    queue     text NOT NULL,
    submitter text NOT NULL,
    turn      bigint NOT NULL,
    PRIMARY KEY (queue, submitter)
) WITH (fillfactor = 70);

-- One row: `version` grows with every change of the rules above, so that coordinators read them only then.
CREATE TABLE rules (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    version    bigint NOT NULL DEFAULT 0,
    fair_share boolean NOT NULL DEFAULT true
);
INSERT INTO rules DEFAULT VALUES;

CREATE FUNCTION rules_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE rules SET version = version + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON limits EXECUTE FUNCTION rules_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON weights EXECUTE FUNCTION rules_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON paused_queues EXECUTE FUNCTION rules_changed();

-- What happened to the farm as a whole.
CREATE INDEX history_of_rules ON history (id) WHERE job_id IS NULL AND task_id IS NULL AND worker_id IS NULL;
