-- What operators and schedules ask of workers.
ALTER TABLE workers DROP CONSTRAINT workers_requested_state_check;
ALTER TABLE workers
    ADD CONSTRAINT workers_requested_state_check CHECK (requested_state IN
        ('awake', 'asleep', 'drain', 'error', 'testing', 'quarantined', 'restart', 'offline')),
    ADD COLUMN requested_source text CHECK (requested_source IN ('operator', 'schedule', 'idle', 'farm', 'worker')),
    ADD COLUMN requested_at timestamptz,
    -- A lazy request that is not done by then goes on at once.
    ADD COLUMN requested_deadline_at timestamptz,
    -- What it was asked for before it was asked to go, and is asked for again when it is back.
    ADD COLUMN resume jsonb,
    ADD CHECK (requested_state IS NOT NULL OR requested_deadline_at IS NULL),
    ADD CHECK (requested_lazy OR requested_deadline_at IS NULL),
    ADD CHECK (requested_state IS DISTINCT FROM 'quarantined' OR duty = 'quarantined');
CREATE INDEX workers_deadlines ON workers (requested_deadline_at) WHERE requested_deadline_at IS NOT NULL;
