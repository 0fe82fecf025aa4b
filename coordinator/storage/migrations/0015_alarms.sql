-- Since when the broker takes nothing from a coordinator: it has a memory or disk alarm.
ALTER TABLE coordinators ADD COLUMN blocked_since timestamptz;
