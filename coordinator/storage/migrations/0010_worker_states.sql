-- What operators and schedules ask of workers.
SELECT 1;
