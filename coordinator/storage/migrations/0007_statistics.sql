-- Machine statistics as time series.
SELECT 1;
