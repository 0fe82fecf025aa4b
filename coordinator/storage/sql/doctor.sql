-- What the doctor asks of the database and of the farm in it. Postgres's own times (transactions) are by its own clock.

-- name: server
SELECT current_setting('server_version_num')::integer / 10000 AS major, current_setting('server_version') AS version,
       pg_is_in_recovery() AS standby, current_setting('transaction_read_only')::boolean AS read_only,
       current_setting('server_encoding') AS encoding, current_setting('fsync')::boolean AS fsync,
       current_setting('full_page_writes')::boolean AS full_page_writes,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('max_connections')::integer AS most,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::integer AS connections,
       clock_timestamp() AS now;

-- name: long_transactions
SELECT pid, usename AS "user", application_name AS program, client_addr::text AS address, state,
       round(extract(epoch FROM clock_timestamp() - xact_start))::integer AS seconds
  FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
   AND xact_start < clock_timestamp() - interval '60 seconds'
 ORDER BY xact_start LIMIT 20;

-- name: waiting_for_locks
SELECT pid, application_name AS program, pg_blocking_pids(pid) AS blocked_by,
       round(extract(epoch FROM clock_timestamp() - query_start))::integer AS seconds
  FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock'
   AND query_start < clock_timestamp() - make_interval(secs => $1)
 ORDER BY query_start LIMIT 20;

-- name: missing_rights
SELECT c.relname AS "table"
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p')
   AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
            AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')
            AND (c.relkind = 'r' OR pg_has_role(c.relowner, 'USAGE')))
 ORDER BY 1 LIMIT 20;

-- name: may_create
SELECT has_schema_privilege(current_schema(), 'CREATE');

-- name: missing_partitions
SELECT day::date AS day
  FROM generate_series((farm_now() AT TIME ZONE 'UTC')::date, (farm_now() AT TIME ZONE 'UTC')::date + 1, '1 day') AS day
 WHERE to_regclass('logs_' || to_char(day, 'YYYYMMDD')) IS NULL;

-- name: coordinators
SELECT id AS coordinator, software, round(extract(epoch FROM farm_now() - seen_at)::numeric, 1)::float8 AS silent_s,
       round(extract(epoch FROM farm_now() - started_at)::numeric, 1)::float8 AS up_s, hears_broker
  FROM coordinators ORDER BY id LIMIT 100;

-- name: swept
SELECT round(extract(epoch FROM farm_now() - last_run_at)::numeric, 1)::float8
  FROM duties WHERE name = 'sweep' AND last_run_at > '-infinity';

-- name: workers
SELECT connection, count(*)::integer AS workers FROM workers GROUP BY connection ORDER BY connection;

-- name: softwares
SELECT software, count(*)::integer AS workers
  FROM workers WHERE connection IN ('online', 'suspect') GROUP BY software ORDER BY 2 DESC LIMIT 20;

-- name: agents
SELECT id FROM workers WHERE connection = 'online' AND protocol = 'native' ORDER BY id LIMIT $1;

-- name: parked
SELECT reason, count(*)::integer AS messages, max(id) AS newest
  FROM parked WHERE state = 'parked' GROUP BY reason ORDER BY 2 DESC LIMIT 20;

-- name: freezes
SELECT nullif(zone, '') AS zone, guard, since, workers, suspects FROM freezes ORDER BY freezes.zone;
