-- The commands, secrets and limits that tasks of a class ask of their worker; {}: none are asked for.
ALTER TABLE classes
    ADD runners text[] NOT NULL DEFAULT '{}',
    ADD secrets text[] NOT NULL DEFAULT '{}',
    ADD limits  text[] NOT NULL DEFAULT '{}';

-- Those that a worker says it can serve; null: it has not said, and nothing is asked of it.
ALTER TABLE workers
    ADD runners  text[],
    ADD secrets  text[],
    ADD enforces text[];
