-- Machine statistics as time series: samples of heartbeats, and what they are rolled up to.
ALTER TABLE worker_liveness ADD COLUMN sampled_at timestamptz NOT NULL DEFAULT '-infinity';

-- One heartbeat in ten seconds or so of each worker, with or without figures, so that idle workers are seen too.
-- Partitioned by day; never updated.
CREATE TABLE samples (
    at               timestamptz NOT NULL,
    worker_id        text NOT NULL,
    -- Attempts that it held.
    held             integer NOT NULL,
    cpu              real,
    load             real,
    load5            real,
    load15           real,
    memory_used      real,
    memory_total     real,
    disk_used        real,
    disk_total       real,
    network_received real,
    network_sent     real,
    -- One element for each core, or GPU.
    cores            real[],
    gpu              real[],
    gpu_memory_used  real[],
    gpu_memory_total real[],
    gpu_temperature  real[],
    -- Figures of workers that measure something else: {"name": [number, …]}.
    extra            jsonb
) PARTITION BY RANGE (at);
CREATE TABLE samples_default PARTITION OF samples DEFAULT;
CREATE INDEX samples_of_worker ON samples (worker_id, at);
CREATE INDEX samples_at ON samples USING brin (at) WITH (pages_per_range = 16);
-- Who worked between two samples, and when: the history says it.
CREATE INDEX history_at ON history USING brin (at);

CREATE FUNCTION figure(value text) RETURNS real LANGUAGE sql IMMUTABLE AS $$
-- A number as it is kept: no figure that a machine might report may keep a heartbeat from being heard.
SELECT CASE WHEN abs(value::double precision) < 1e-30 THEN 0
            ELSE greatest(-1e30, least(1e30, value::double precision)) END::real $$;

CREATE FUNCTION other_values(extra jsonb, metric text) RETURNS real[] LANGUAGE sql IMMUTABLE AS $$
SELECT ARRAY(SELECT figure(value) FROM jsonb_array_elements_text(extra -> metric)) $$;

CREATE FUNCTION sample_values(s samples, metric text) RETURNS real[] LANGUAGE sql IMMUTABLE AS $$
-- A metric of a sample: one element for each core or GPU, else one. Without a sub-query, so that it is inlined.
SELECT CASE metric
    WHEN 'cpu' THEN ARRAY[s.cpu]
    WHEN 'core' THEN s.cores
    WHEN 'memory' THEN ARRAY[100 * s.memory_used / nullif(s.memory_total, 0)]
    WHEN 'memory_used' THEN ARRAY[s.memory_used]
    WHEN 'memory_total' THEN ARRAY[s.memory_total]
    WHEN 'disk' THEN ARRAY[100 * s.disk_used / nullif(s.disk_total, 0)]
    WHEN 'disk_used' THEN ARRAY[s.disk_used]
    WHEN 'disk_total' THEN ARRAY[s.disk_total]
    WHEN 'network_received' THEN ARRAY[s.network_received]
    WHEN 'network_sent' THEN ARRAY[s.network_sent]
    WHEN 'load' THEN ARRAY[s.load]
    WHEN 'load5' THEN ARRAY[s.load5]
    WHEN 'load15' THEN ARRAY[s.load15]
    WHEN 'gpu' THEN s.gpu
    WHEN 'gpu_memory_used' THEN s.gpu_memory_used
    WHEN 'gpu_memory_total' THEN s.gpu_memory_total
    WHEN 'gpu_temperature' THEN s.gpu_temperature
    WHEN 'held' THEN ARRAY[s.held::real]
    WHEN 'active' THEN ARRAY[(s.held > 0)::integer::real]
    ELSE other_values(s.extra, metric)
END $$;

CREATE FUNCTION sketch_key(value double precision) RETURNS smallint LANGUAGE sql IMMUTABLE AS $$
-- Which of the buckets that each grow by 1.01/0.99 holds a value: its middle is at most 1 % off. What is below 0.001
-- (idle, nothing sent) is one bucket.
SELECT CASE WHEN value < 0.001 THEN -32768
            ELSE ceil(ln(least(value, 1e18)) / ln(1.01::double precision / 0.99)) END::smallint $$;

-- What became of a metric of a worker in 5 minutes, an hour, a day: made of samples, of 5 minutes, of hours.
CREATE TABLE rollups (
    level     text NOT NULL CHECK (level IN ('5m', '1h', '1d')),
    metric    text NOT NULL,
    at        timestamptz NOT NULL,
    worker_id text NOT NULL,
    -- All values, those of all cores or GPUs together.
    n         bigint NOT NULL CHECK (n > 0),
    low       double precision NOT NULL,
    high      double precision NOT NULL CHECK (high >= low),
    total     double precision NOT NULL,
    -- The same for each core or GPU, where there is more than one.
    variants  smallint[],
    counts    bigint[],
    lows      double precision[],
    highs     double precision[],
    totals    double precision[],
    -- How many values each bucket of the sketch holds.
    keys      smallint[] NOT NULL,
    tallies   bigint[] NOT NULL,
    CHECK (cardinality(keys) = cardinality(tallies)),
    PRIMARY KEY (level, metric, at, worker_id)
) PARTITION BY LIST (level);
CREATE TABLE rollups_1h PARTITION OF rollups FOR VALUES IN ('1h');
CREATE TABLE rollups_1d PARTITION OF rollups FOR VALUES IN ('1d');
CREATE TABLE rollups_5m PARTITION OF rollups FOR VALUES IN ('5m') PARTITION BY RANGE (at);
CREATE TABLE rollups_5m_default PARTITION OF rollups_5m DEFAULT;

-- Until when each level is made: what is later is in the level before.
CREATE TABLE rollup_levels (
    level      text PRIMARY KEY CHECK (level IN ('5m', '1h', '1d')),
    done_until timestamptz NOT NULL DEFAULT 'epoch'
);
INSERT INTO rollup_levels (level) VALUES ('5m'), ('1h'), ('1d');

CREATE FUNCTION keep_day_partitions(parent regclass, ahead integer, retention integer)
RETURNS void LANGUAGE plpgsql AS $$
-- Have a partition for today and *ahead* days more; drop those of more than *retention* days ago.
DECLARE
    today date := (farm_now() AT TIME ZONE 'UTC')::date;
    one   date;
    old   text;
BEGIN
    FOR one IN SELECT today + n FROM generate_series(0, ahead) AS n LOOP
        IF to_regclass(parent || '_' || to_char(one, 'YYYYMMDD')) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', parent || '_' ||
                               to_char(one, 'YYYYMMDD'), parent::text, one || ' 00:00+00', (one + 1) || ' 00:00+00');
            EXCEPTION WHEN check_violation THEN
                NULL;  -- rows of that day are in the default partition already: they stay there
            END;
        END IF;
    END LOOP;
    FOR old IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE i.inhparent = parent AND c.relname ~ ('^' || parent || '_[0-9]{8}$')
                  AND c.relname < parent || '_' || to_char(today - retention, 'YYYYMMDD') LOOP
        EXECUTE format('DROP TABLE %I', old);
    END LOOP;
END $$;
SELECT keep_day_partitions('samples', 3, 2), keep_day_partitions('rollups_5m', 3, 30);
