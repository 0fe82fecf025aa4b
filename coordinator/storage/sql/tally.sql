-- name: of_job
-- What became of a job, counted from the rows that hold the promise, not from the counters kept beside them.
SELECT count(*)                                              AS tasks,
       count(*) FILTER (WHERE tasks.state = 'completed')     AS completed,
       coalesce(sum(made.attempts), 0)::bigint               AS attempts,
       coalesce(sum(made.accepted), 0)::bigint               AS accepted,
       coalesce(sum(made.lost), 0)::bigint                   AS lost,
       count(*) FILTER (WHERE made.accepted <> 1)            AS not_exactly_once
FROM tasks
CROSS JOIN LATERAL (
    SELECT count(*)                                      AS attempts,
           count(*) FILTER (WHERE accepted)              AS accepted,
           count(*) FILTER (WHERE ending = 'lost')       AS lost
    FROM attempts
    WHERE attempts.task_id = tasks.id AND attempts.run = tasks.run
) AS made
WHERE tasks.job_id = $1;
