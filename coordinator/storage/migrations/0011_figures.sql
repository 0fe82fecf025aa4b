-- Figures over time as columns: what was a row for each worker, metric and stretch is a row for up to 128 workers, and
-- one for all of them together, so that nobody adds up a farm to ask for it.
CREATE TABLE figures (
    level    text NOT NULL CHECK (level IN ('5m', '15m', '1h', '1d')),
    metric   text NOT NULL,
    -- Whose figures: the farm's (one line, named ''), each worker's, or each core's and GPU's.
    split    text NOT NULL CHECK (split IN ('farm', 'worker', 'variant')),
    at       timestamptz NOT NULL,
    -- Its lines are in order of their workers' names; these are the first and the last.
    first    text COLLATE "C" NOT NULL,
    last     text COLLATE "C" NOT NULL,
    workers  text[] NOT NULL,
    variants smallint[],
    counts   bigint[] NOT NULL CHECK (0 < ALL (counts)),
    lows     real[] NOT NULL,
    highs    real[] NOT NULL,
    totals   double precision[] NOT NULL,
    -- The sketches of all lines, one after another, so that reading one costs no more than finding it: the buckets' keys
    -- (2 bytes each), and how many values there are up to each, counted through all lines (4 bytes each, or 8 where
    -- there are 2^31 values or more); in network order. Cores and GPUs have none.
    keys     bytea NOT NULL,
    ends     bytea NOT NULL,
    PRIMARY KEY (level, metric, split, at, first),
    CHECK (first = workers[1] AND last = workers[cardinality(workers)] AND first <= last),
    CHECK ((split = 'farm') = (last = '')),
    CHECK ((split = 'variant') = (variants IS NOT NULL)),
    CHECK (cardinality(workers) = ALL (ARRAY[cardinality(counts), cardinality(lows), cardinality(highs),
                                             cardinality(totals), coalesce(cardinality(variants), cardinality(workers))])),
    CHECK (octet_length(ends) IN (2 * octet_length(keys), 4 * octet_length(keys)))
) PARTITION BY LIST (level);
CREATE TABLE figures_hours PARTITION OF figures FOR VALUES IN ('1h');
CREATE TABLE figures_days PARTITION OF figures FOR VALUES IN ('1d');
CREATE TABLE figures_minutes PARTITION OF figures FOR VALUES IN ('5m', '15m') PARTITION BY RANGE (at);
CREATE TABLE figures_minutes_default PARTITION OF figures_minutes DEFAULT;
SELECT keep_day_partitions('figures_minutes', 3, 30);

-- What there are samples of is rolled up anew.
DROP TABLE rollups;
DROP FUNCTION sketch_key;
ALTER TABLE rollup_levels DROP CONSTRAINT rollup_levels_level_check;
ALTER TABLE rollup_levels ADD CHECK (level IN ('5m', '15m', '1h', '1d'));
INSERT INTO rollup_levels (level) VALUES ('15m');
UPDATE rollup_levels SET done_until = DEFAULT;
