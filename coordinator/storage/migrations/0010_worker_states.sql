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
    -- Its newest lives, to notice two that take turns.
    ADD COLUMN arrivals jsonb NOT NULL DEFAULT '[]',
    -- {"zone", "asleep": [{"days", "start", "end"}], "lazy", "within_s"}, and when it next changes.
    ADD COLUMN sleep_schedule jsonb,
    ADD COLUMN sleep_next_at timestamptz CHECK (sleep_next_at IS NULL OR sleep_schedule IS NOT NULL),
    -- Null: as the farm's.
    ADD COLUMN idle_action text CHECK (idle_action IN ('off', 'notify', 'stop')),
    ADD COLUMN idle_after_s double precision CHECK (idle_after_s > 0),
    ADD COLUMN idle_noted_at timestamptz,
    ADD COLUMN idle_refused_at timestamptz,
    ADD CHECK ((idle_action IS NULL) = (idle_after_s IS NULL)),
    ADD CHECK (requested_state IS NOT NULL OR requested_deadline_at IS NULL),
    ADD CHECK (requested_lazy OR requested_deadline_at IS NULL),
    ADD CHECK (requested_state IS DISTINCT FROM 'quarantined' OR duty = 'quarantined');
CREATE INDEX workers_deadlines ON workers (requested_deadline_at) WHERE requested_deadline_at IS NOT NULL;
CREATE INDEX workers_sleep ON workers (sleep_next_at) WHERE sleep_next_at IS NOT NULL;

-- What is done about idle workers that have no policy of their own: one row, or none for nothing.
CREATE TABLE idle_default (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    action  text NOT NULL CHECK (action IN ('off', 'notify', 'stop')),
    after_s double precision NOT NULL CHECK (after_s > 0)
);
