-- Failures, blocklists, worker health.

-- What the submitter decided about failure, as far as it differs from the defaults; null: nothing does.
ALTER TABLE jobs ADD COLUMN policy jsonb;
-- Failures for want of memory, disk or time are counted apart from the task's own.
ALTER TABLE tasks ADD COLUMN shortages smallint NOT NULL DEFAULT 0 CHECK (shortages >= 0);
ALTER TABLE attempts ADD COLUMN cause text;
