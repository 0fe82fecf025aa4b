-- What keeps the database at its size.

-- Each is the same as another one: history_by_time, history_of_farm.
DROP INDEX history_at;
DROP INDEX history_of_rules;
-- A job's groups go with it, and look for what was made of them.
CREATE INDEX specs_of_group ON specs (group_id);

CREATE OR REPLACE FUNCTION keep_log_partitions(ahead integer, retention integer) RETURNS void LANGUAGE plpgsql AS $$
-- Have a partition for today and *ahead* days more; drop those of more than *retention* days ago, and what has come for
-- such a day since. One coordinator at a time.
DECLARE
    today date := (farm_now() AT TIME ZONE 'UTC')::date;
    one   date;
    old   text;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('keep_log_partitions', 0)) THEN
        RETURN;
    END IF;
    FOR one IN SELECT today + n FROM generate_series(0, ahead) AS n LOOP
        IF to_regclass('logs_' || to_char(one, 'YYYYMMDD')) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE TABLE %I PARTITION OF logs FOR VALUES FROM (%L) TO (%L)',
                               'logs_' || to_char(one, 'YYYYMMDD'), one, one + 1);
            EXCEPTION WHEN check_violation THEN
                NULL;  -- rows of that day are in the default partition already: they stay there
            END;
        END IF;
    END LOOP;
    FOR old IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE i.inhparent = 'logs'::regclass AND c.relname ~ '^logs_[0-9]{8}$'
                  AND c.relname < 'logs_' || to_char(today - retention, 'YYYYMMDD') LOOP
        EXECUTE format('DROP TABLE %I', old);
    END LOOP;
    DELETE FROM logs_default WHERE day < today - retention;
END $$;
