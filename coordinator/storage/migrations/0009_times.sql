-- Deadlines, maximum run times, no-progress time-outs.
SELECT 1;
