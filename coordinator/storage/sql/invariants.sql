-- Each statement finds what breaks an invariant; a sound farm answers none of them. Run them in one snapshot.

-- name: held_tasks_have_one_live_attempt
SELECT t.id AS task, t.state, count(a.attempt) AS live
  FROM tasks t LEFT JOIN attempts a ON a.task_id = t.id AND a.state IN ('assigned', 'running')
 GROUP BY t.id, t.state
HAVING count(a.attempt) <> (t.state IN ('assigned', 'running'))::integer;

-- name: a_live_attempt_is_as_far_as_its_task
SELECT a.task_id AS task, a.attempt, a.state, t.state AS task_state
  FROM attempts a JOIN tasks t ON t.id = a.task_id
 WHERE a.state IN ('assigned', 'running') AND (a.state <> t.state OR a.run <> t.run OR a.attempt <> t.attempt);

-- name: overdue_attempts_are_stopped
-- The sweep looks each second; what it did not stop in a minute it never will.
SELECT a.task_id AS task, a.attempt, a.look_at
  FROM attempts a
 WHERE a.look_at IS NOT NULL AND a.state = 'running' AND a.look_at < farm_now() - interval '60 seconds';

-- name: watched_attempts_have_a_time_to_look
SELECT a.task_id AS task, a.attempt
  FROM attempts a JOIN tasks t ON t.id = a.task_id JOIN specs s ON s.id = t.spec_id
 WHERE a.state = 'running' AND coalesce(s.max_run_s, s.no_progress_s) IS NOT NULL AND a.look_at IS NULL;

-- name: no_task_waits_past_its_deadline
SELECT t.id AS task, t.state, s.deadline
  FROM tasks t JOIN specs s ON s.id = t.spec_id
 WHERE s.deadline_next IS NULL AND s.deadline IS NOT NULL AND t.run = 1
   AND t.state NOT IN ('completed', 'failed', 'canceled');

-- name: the_accepted_attempt_was_accepted
SELECT t.id AS task, t.accepted_attempt AS attempt
  FROM tasks t LEFT JOIN attempts a ON a.task_id = t.id AND a.attempt = t.accepted_attempt
 WHERE t.state = 'completed' AND (a.accepted IS NOT TRUE OR a.run <> t.run);

-- name: nothing_else_is_accepted
SELECT a.task_id AS task, a.attempt
  FROM attempts a JOIN tasks t ON t.id = a.task_id
 WHERE a.accepted AND a.run = t.run AND t.accepted_attempt IS DISTINCT FROM a.attempt;

-- name: attempt_numbers_only_grow
SELECT t.id AS task, t.attempt, max(a.attempt) AS newest
  FROM tasks t LEFT JOIN attempts a ON a.task_id = t.id
 GROUP BY t.id, t.attempt
HAVING t.attempt <> coalesce(max(a.attempt), 0) OR t.attempt <> count(a.attempt);

-- name: no_live_attempt_on_a_worker_that_is_gone
SELECT a.task_id AS task, a.attempt, w.id AS worker, w.connection, a.epoch, w.epoch AS worker_epoch
  FROM attempts a JOIN workers w ON w.id = a.worker_id
 WHERE a.state <> 'ended' AND (w.connection IN ('offline', 'lost') OR a.epoch <> w.epoch);

-- name: exclusive_attempts_never_overlap
-- As far as rows can tell: the next attempt was made when the one before had ended by its worker's word, was never
-- allowed to start, or when its lease was over.
SELECT l.task_id AS task, l.attempt, a.attempt AS next, a.assigned_at, l.released_by, l.free_at
  FROM leases l JOIN attempts a ON a.task_id = l.task_id AND a.attempt > l.attempt
 WHERE l.released_at IS NULL
    OR a.assigned_at < CASE l.released_by WHEN 'expired' THEN l.free_at ELSE l.released_at END;

-- name: an_exclusive_attempt_has_a_lease_that_is_open_while_it_is_live
SELECT a.task_id AS task, a.attempt, a.state, l.closed_at
  FROM classes c JOIN attempts a ON a.class_id = c.id LEFT JOIN leases l USING (task_id, attempt)
 WHERE c.exclusive <> '{}'
   AND (l.worker_id IS DISTINCT FROM a.worker_id OR (l.closed_at IS NULL) <> (a.state IN ('assigned', 'running')));

-- name: an_exclusive_task_is_not_ready_while_it_may_run
SELECT t.id AS task, l.attempt, l.until FROM leases l JOIN tasks t ON t.id = l.task_id
 WHERE t.state = 'ready' AND l.released_at IS NULL;

-- name: a_lease_is_released_by_a_word_that_was_said
SELECT l.task_id AS task, l.attempt, a.ending
  FROM leases l JOIN attempts a USING (task_id, attempt)
 WHERE l.released_by = 'said' AND a.state <> 'ended';

-- name: used_never_exceeds_capacity
-- A worker that came back with less than before is over until what it holds ends; the sum of what it was given is not.
SELECT w.id AS worker, sum(c.slots) AS slots, w.slots AS slots_of, sum(c.cpus) AS cpus, w.cpus AS cpus_of,
       sum(c.memory_mb) AS memory_mb, w.memory_mb AS memory_of, sum(c.gpus) AS gpus, w.gpus AS gpus_of
  FROM attempts a JOIN workers w ON w.id = a.worker_id JOIN classes c ON c.id = a.class_id
 WHERE a.state <> 'ended'
 GROUP BY w.id
HAVING sum(c.slots) > w.slots OR sum(c.cpus) > w.cpus + 1e-6 OR sum(c.memory_mb) > w.memory_mb OR sum(c.gpus) > w.gpus;

-- name: schedules_and_deadlines_are_followed
-- Both are looked at each second; two minutes without it means that nobody does.
SELECT id AS worker, sleep_next_at, requested_deadline_at
  FROM workers
 WHERE sleep_next_at < farm_now() - interval '2 minutes' OR requested_deadline_at < farm_now() - interval '2 minutes';

-- name: unmet_counts_dependencies
SELECT t.id AS task, t.unmet, coalesce(need.counted, 0) AS counted
  FROM tasks t
  LEFT JOIN (
       SELECT d.task_id,
              count(*) FILTER (WHERE n.state <> 'completed' OR (d.promoted AND a.promoted_at IS NULL)) AS counted
         FROM dependencies d
         JOIN tasks n ON n.id = d.needs
         LEFT JOIN attempts a ON a.task_id = n.id AND a.attempt = n.accepted_attempt
        GROUP BY d.task_id) AS need ON need.task_id = t.id
 WHERE t.unmet <> coalesce(need.counted, 0);

-- name: groups_count_ready_tasks
SELECT g.id AS "group", g.ready, count(t.id) AS counted
  FROM groups g LEFT JOIN tasks t ON t.group_id = g.id AND t.state = 'ready'
 GROUP BY g.id, g.ready
HAVING g.ready <> count(t.id);

-- name: groups_count_what_is_held
SELECT g.id AS "group", g.held, count(a.attempt) AS counted
  FROM groups g
  LEFT JOIN tasks t ON t.group_id = g.id
  LEFT JOIN attempts a ON a.task_id = t.id AND a.state <> 'ended'
 GROUP BY g.id, g.held
HAVING g.held <> count(a.attempt);

-- name: no_limit_is_exceeded_by_what_was_assigned_under_it
-- A limit may be lowered below its use; then nothing is assigned until enough has ended. So whatever was assigned
-- after it was set found room, and what is held since has only become less.
WITH held AS (
    SELECT c.queue, c.kind, j.submitter, j.id AS job, c.licenses, a.assigned_at
      FROM attempts a JOIN tasks t ON t.id = a.task_id JOIN jobs j ON j.id = t.job_id JOIN classes c ON c.id = a.class_id
     WHERE a.state <> 'ended'),
counted AS (
    SELECT 'queue' AS scope, queue AS name, 1 AS amount, assigned_at FROM held
    UNION ALL SELECT 'kind', kind, 1, assigned_at FROM held
    UNION ALL SELECT 'submitter', submitter, 1, assigned_at FROM held
    UNION ALL SELECT 'job', job::text, 1, assigned_at FROM held
    UNION ALL SELECT 'license', one.key, one.value::integer, assigned_at FROM held, jsonb_each_text(licenses) AS one),
used AS (SELECT scope, name, sum(amount) AS used, max(assigned_at) AS newest FROM counted GROUP BY scope, name)
SELECT l.scope, l.name, u.used, l.total
  FROM (SELECT scope, name, total, set_at FROM limits
        UNION ALL SELECT 'job', id::text, task_limit, limit_set_at FROM jobs WHERE task_limit IS NOT NULL) l
  JOIN used u USING (scope, name)
 WHERE u.used > l.total AND u.newest > l.set_at;

-- name: jobs_count_their_tasks
SELECT j.id AS job
  FROM jobs j LEFT JOIN tasks t ON t.job_id = j.id
 GROUP BY j.id
HAVING j.archived_at IS NULL AND (j.expanded <> count(t.id)
    OR j.n_blocked <> count(t.id) FILTER (WHERE t.state = 'blocked')
    OR j.n_scheduled <> count(t.id) FILTER (WHERE t.state = 'scheduled')
    OR j.n_paused <> count(t.id) FILTER (WHERE t.state = 'paused')
    OR j.n_ready <> count(t.id) FILTER (WHERE t.state = 'ready')
    OR j.n_assigned <> count(t.id) FILTER (WHERE t.state = 'assigned')
    OR j.n_running <> count(t.id) FILTER (WHERE t.state = 'running')
    OR j.n_completed <> count(t.id) FILTER (WHERE t.state = 'completed')
    OR j.n_failed <> count(t.id) FILTER (WHERE t.state = 'failed')
    OR j.n_canceled <> count(t.id) FILTER (WHERE t.state = 'canceled'));

-- name: archived_jobs_leave_one_row
SELECT j.id AS job, j.state FROM jobs j LEFT JOIN archives a ON a.job_id = j.id
 WHERE j.archived_at IS NOT NULL AND (a.job_id IS NULL OR j.finished_at IS NULL OR j.keep);

-- name: what_is_gone_is_gone_whole
SELECT t.id AS task, t.job_id AS job FROM tasks t LEFT JOIN jobs j ON j.id = t.job_id WHERE j.id IS NULL
UNION ALL
SELECT a.task_id, NULL FROM attempts a LEFT JOIN tasks t ON t.id = a.task_id WHERE t.id IS NULL
UNION ALL
SELECT d.task_id, NULL FROM dependencies d LEFT JOIN tasks t ON t.id = d.task_id WHERE t.id IS NULL;

-- name: a_schedule_decides_an_instant_once
SELECT s.name AS schedule, r.instant FROM schedules s JOIN schedule_runs r ON r.schedule_id = s.id
 WHERE NOT r.by_hand AND r.instant >= s.next_at;

-- name: every_attempt_has_its_history
SELECT a.task_id AS task, a.attempt, a.state, a.ending
  FROM attempts a
 WHERE NOT EXISTS (SELECT FROM history h
                    WHERE h.task_id = a.task_id AND h.attempt = a.attempt AND h.event = 'task.assigned')
    OR (a.started_at IS NOT NULL
        AND NOT EXISTS (SELECT FROM history h
                         WHERE h.task_id = a.task_id AND h.attempt = a.attempt AND h.event = 'task.started'))
    OR (a.state = 'ended'
        AND NOT EXISTS (SELECT FROM history h
                         WHERE h.task_id = a.task_id AND h.attempt = a.attempt
                           AND (h.event = 'attempt.' || a.ending OR h.event = 'task.' || a.ending)))
    OR (a.state = 'stopping'
        AND NOT EXISTS (SELECT FROM history h
                         WHERE h.task_id = a.task_id AND h.attempt = a.attempt
                           AND h.event IN ('task.canceled', 'task.expired', 'attempt.overdue', 'attempt.stopping')));

-- name: nothing_stays_undelivered
-- The sweep sends again after 2, 4, … 64 s; twice that without it means that the sweep does not run.
SELECT a.task_id AS task, a.attempt, a.worker_id AS worker, a.sent_at
  FROM attempts a JOIN workers w ON w.id = a.worker_id
 WHERE a.state = 'assigned' AND w.connection = 'online' AND a.sent_at < farm_now() - interval '130 seconds';

-- name: each_end_is_counted_as_what_it_is
-- A loss burns no retry and no shortage, a failure is no loss; and nobody is out of retries before they are used up.
SELECT t.id AS task, t.failures, t.shortages, t.losses, t.retries, ends.failed, ends.lost, t.reason
  FROM tasks t
 CROSS JOIN LATERAL (
       SELECT count(*) FILTER (WHERE a.ending = 'failed' OR a.cause IN ('time', 'stalled')) AS failed,
              count(*) FILTER (WHERE a.ending = 'lost' AND a.started_at IS NOT NULL) AS lost
         FROM attempts a WHERE a.task_id = t.id AND a.run = t.run) AS ends
 WHERE t.failures + t.shortages > ends.failed
    OR t.losses > ends.lost
    OR (t.state = 'failed' AND t.reason ~ '^failed( [0-9]+ times)?$' AND t.failures <= t.retries);

-- name: no_work_for_a_worker_that_is_blocked_for_it
SELECT a.task_id AS task, a.attempt, a.worker_id AS worker, a.assigned_at, b.blocked_at
  FROM blocklist b
  JOIN attempts a ON a.worker_id = b.worker_id AND a.assigned_at > b.blocked_at
  JOIN tasks t ON t.id = a.task_id AND t.job_id = b.job_id
  JOIN classes c ON c.id = a.class_id AND c.kind = b.kind;

-- name: who_is_blocked_is_counted_and_noted
SELECT j.id AS job, j.blocklisted, b.worker_id AS worker, b.kind
  FROM jobs j JOIN blocklist b ON b.job_id = j.id AND b.blocked_at IS NOT NULL
 WHERE j.blocklisted = 0
    OR NOT EXISTS (SELECT FROM history h WHERE h.worker_id = b.worker_id AND h.job_id = j.id
                      AND h.event = 'worker.blocked');

-- name: what_is_rolled_up_is_complete
-- Nothing is made of a stretch of time beyond which its level is said to be made, and no level is ahead of its ground.
SELECT f.level, f.at FROM figures f JOIN rollup_levels l ON l.level = f.level WHERE f.split = 'farm' AND f.at >= l.done_until
UNION ALL
SELECT above.level, above.done_until
  FROM rollup_levels above
  JOIN rollup_levels ground ON (above.level, ground.level) IN (('15m', '5m'), ('1h', '15m'), ('1d', '1h'))
 WHERE above.done_until > ground.done_until;

-- name: nobody_is_lost_where_losses_are_frozen
-- Zone '' is the farm as a whole.
SELECT w.id AS worker, w.zone, h.at AS lost_at, f.since AS frozen_since
  FROM freezes f
  JOIN workers w ON f.zone IN (w.zone, '')
  JOIN history h ON h.worker_id = w.id AND h.event = 'worker.lost' AND h.at > f.since
 WHERE f.guard = 'frozen';

-- name: each_freeze_is_in_the_history
SELECT f.zone, f.guard, f.since FROM freezes f
 WHERE NOT EXISTS (SELECT FROM history h WHERE h.event = 'farm.expiry_frozen' AND h.at = f.since);

-- name: only_those_who_ask_are_given_work_through_gateways
-- What such a worker holds it was told in the answer to its question, so it runs (a worker that its gateway calls may
-- have to be called yet); and nothing of it is exclusive.
SELECT a.task_id AS task, a.attempt, a.state, w.id AS worker, w.protocol
  FROM attempts a
  JOIN workers w ON w.id = a.worker_id AND w.protocol <> 'native'
  JOIN classes c ON c.id = a.class_id
 WHERE (a.state = 'assigned' AND w.protocol NOT IN ('flamenco_v1', 'celery')) OR c.exclusive <> '{}';

-- name: nobody_says_that_he_sent_something_in_times_to_come
SELECT l.worker_id AS worker, l.told_at, l.told_active_at
  FROM worker_liveness l WHERE greatest(l.told_at, l.told_active_at) > farm_now();
