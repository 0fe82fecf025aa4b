-- Not-before, deadlines, and how long attempts may run or be silent.

-- What all tasks of a spec share. `deadline_next` is the first task that the deadline has not been applied to yet; null
-- when there is none, or nothing is left to do.
ALTER TABLE specs
    ADD COLUMN not_before    timestamptz,
    ADD COLUMN deadline      timestamptz,
    ADD COLUMN max_run_s     double precision CHECK (max_run_s > 0),
    ADD COLUMN no_progress_s double precision CHECK (no_progress_s > 0),
    ADD COLUMN deadline_next bigint,
    ADD CHECK (deadline_next IS NULL OR deadline IS NOT NULL);
CREATE INDEX specs_deadline ON specs (deadline) WHERE deadline_next IS NOT NULL;

-- Whether attempts of this job are watched, so that the others cost nothing.
ALTER TABLE jobs ADD COLUMN watched boolean NOT NULL DEFAULT false;

-- Of a watched attempt: its last sign that came with an event, and when to look at it.
ALTER TABLE attempts ADD COLUMN heard_at timestamptz, ADD COLUMN look_at timestamptz;
CREATE INDEX attempts_watched ON attempts (look_at) WHERE look_at IS NOT NULL AND state = 'running';
-- Its last sign that came with its log.
ALTER TABLE log_sizes ADD COLUMN heard_at timestamptz;

-- A blocked or paused task may have to wait for a time as well.
ALTER TABLE tasks DROP CONSTRAINT tasks_check1;
ALTER TABLE tasks
    ADD CONSTRAINT tasks_scheduled_has_time CHECK (state <> 'scheduled' OR not_before IS NOT NULL),
    ADD CONSTRAINT tasks_time_is_ahead CHECK (not_before IS NULL OR state IN ('scheduled', 'blocked', 'paused'));
