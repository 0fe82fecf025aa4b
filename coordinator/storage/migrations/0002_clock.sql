-- The farm's clock: whatever asks for the time asks here. A simulation replaces the function and moves the time by hand.
CREATE FUNCTION farm_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT clock_timestamp()';

ALTER TABLE coordinators ALTER COLUMN started_at SET DEFAULT farm_now();
ALTER TABLE coordinators ALTER COLUMN seen_at SET DEFAULT farm_now();
ALTER TABLE workers ALTER COLUMN online_at SET DEFAULT farm_now();
ALTER TABLE workers ALTER COLUMN changed_at SET DEFAULT farm_now();
ALTER TABLE jobs ALTER COLUMN submitted_at SET DEFAULT farm_now();
ALTER TABLE tasks ALTER COLUMN changed_at SET DEFAULT farm_now();
ALTER TABLE outputs ALTER COLUMN at SET DEFAULT farm_now();
ALTER TABLE parked ALTER COLUMN at SET DEFAULT farm_now();
