-- name: templates
-- The newest versions of $1, and the versions that $2, $3 name.
SELECT DISTINCT ON (name) name, version, spec, created_at, created_by, true AS newest
  FROM templates WHERE name = ANY($1::text[]) ORDER BY name, version DESC;

-- name: template_versions
SELECT t.name, t.version, t.spec, t.created_at, t.created_by
  FROM unnest($1::text[], $2::integer[]) AS named(name, version)
  JOIN templates t ON t.name = named.name AND t.version = named.version;

-- name: template_users
SELECT template, name FROM schedules WHERE template = ANY($1::text[]) ORDER BY name;

-- name: schedules
SELECT s.*,
       ARRAY(SELECT r.job_id FROM schedule_runs r JOIN jobs j ON j.id = r.job_id
              WHERE r.schedule_id = s.id AND j.finished_at IS NULL ORDER BY r.job_id) AS unfinished
  FROM schedules s WHERE s.name = ANY($1::text[]);

-- name: schedules_due
SELECT name FROM schedules WHERE paused_at IS NULL AND next_at <= farm_now() ORDER BY next_at LIMIT 50;

-- name: groups_with_classes
SELECT g.id, g.job_id, g.class_id, g.ready, g.held FROM groups g WHERE g.job_id = ANY($1::bigint[]) ORDER BY g.id;

-- name: add_template
INSERT INTO templates (name, version, spec, created_at, created_by) VALUES ($1, $2, $3, $4, $5);

-- name: remove_templates
DELETE FROM templates WHERE name = ANY($1::text[]);

-- name: add_schedule
INSERT INTO schedules (name, cron, timezone, missed, most_missed, overlap, job, template, template_version, parameters,
                       next_at, created_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id;

-- name: save_schedule
UPDATE schedules SET next_at = $2, last_job = $3, paused_at = $4, paused_by = $5, pause_reason = $6 WHERE id = $1;

-- name: remove_schedule
DELETE FROM schedules WHERE id = $1;

-- name: add_run
INSERT INTO schedule_runs (schedule_id, instant, by_hand, at, outcome, job_id, detail)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING;

-- name: prune_runs
-- A schedule's newest runs are kept, and those whose jobs are not finished.
DELETE FROM schedule_runs r
 USING (SELECT instant FROM schedule_runs WHERE schedule_id = $1 ORDER BY instant DESC OFFSET $2 LIMIT 100) AS old
 WHERE r.schedule_id = $1 AND r.instant = old.instant
   AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = r.job_id AND j.finished_at IS NULL);

-- name: priorities
UPDATE jobs j SET priority = u.priority
  FROM unnest($1::bigint[], $2::smallint[]) AS u(id, priority) WHERE j.id = u.id;

-- name: keeps
UPDATE jobs j SET keep = u.keep FROM unnest($1::bigint[], $2::boolean[]) AS u(id, keep) WHERE j.id = u.id;

-- name: reclass
UPDATE groups g SET class_id = u.class_id
  FROM unnest($1::bigint[], $2::bigint[]) AS u(id, class_id) WHERE g.id = u.id;

-- name: list_templates
SELECT DISTINCT ON (name) name, version, spec, created_at, created_by
  FROM templates WHERE name > $1 ORDER BY name, version DESC LIMIT $2;

-- name: template
SELECT name, version, spec, created_at, created_by
  FROM templates WHERE name = $1 AND ($2::integer IS NULL OR version = $2) ORDER BY version DESC LIMIT 1;

-- name: versions_of_template
SELECT version, created_at, created_by FROM templates WHERE name = $1 ORDER BY version DESC LIMIT 100;

-- name: list_schedules
SELECT s.*, j.state AS last_state, farm_now() AS now
  FROM schedules s LEFT JOIN jobs j ON j.id = s.last_job
 WHERE s.name > $1 ORDER BY s.name LIMIT $2;

-- name: schedule
SELECT s.*, j.state AS last_state, farm_now() AS now
  FROM schedules s LEFT JOIN jobs j ON j.id = s.last_job WHERE s.name = $1;

-- name: runs
SELECT r.instant, r.at, r.by_hand, r.outcome, r.job_id AS job, j.state, r.detail
  FROM schedule_runs r LEFT JOIN jobs j ON j.id = r.job_id
 WHERE r.schedule_id = $1 ORDER BY r.at DESC, r.instant DESC LIMIT 20;

-- name: ties
-- What may speak against the removal of these jobs.
SELECT j.id, j.keep, (SELECT min(s.name) FROM schedules s WHERE s.last_job = j.id) AS schedule,
       (SELECT count(*) FROM tasks t JOIN attempts a ON a.task_id = t.id AND a.state <> 'ended'
         WHERE t.job_id = j.id AND (j.n_canceled > 0 OR j.n_failed > 0))::integer AS stopping
  FROM jobs j WHERE j.id = ANY($1::bigint[]);

-- name: archive
-- Set aside: the row that stays, then the mark on the job, whose rows are removed from here on.
WITH marked AS (
    UPDATE jobs j SET archived_at = $1
      FROM unnest($2::bigint[], $3::text[], $4::text[]) AS u(id, actor, reason)
     WHERE j.id = u.id
    RETURNING j.*, u.actor, u.reason)
INSERT INTO archives (job_id, name, submitter, state, finished_at, archived_at, archived_by, reason, summary)
SELECT m.id, m.name, m.submitter, m.state, m.finished_at, $1, m.actor, m.reason,
       jsonb_build_object(
           'key', m.key, 'queue', m.queue, 'priority', m.priority, 'total', m.total, 'expanded', m.expanded,
           'submitted_at', m.submitted_at, 'cancel_reason', m.cancel_reason, 'origin', m.origin,
           'counts', jsonb_build_object('completed', m.n_completed, 'failed', m.n_failed, 'canceled', m.n_canceled,
                                        'blocked', m.n_blocked),
           'parts', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                         'name', p.name, 'kind', p.kind, 'queue', p.queue, 'first_task', p.first_task, 'count', p.count,
                         'after', p.after) ORDER BY p.first_task), '[]')
                       FROM (SELECT s.name, c.kind, c.queue, s.first_task, s.count,
                                    coalesce((SELECT jsonb_agg(need->>'name') FROM jsonb_array_elements(s.after) AS need),
                                             '[]') AS after
                               FROM specs s JOIN groups g ON g.id = s.group_id JOIN classes c ON c.id = g.class_id
                              WHERE s.job_id = m.id ORDER BY s.first_task LIMIT 100) AS p),
           'attempts', work.attempts, 'run_s', work.run_s,
           'failures', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                            'task', f.id, 'name', f.name, 'worker', f.worker_id, 'error', f.error) ORDER BY f.id), '[]')
                          FROM (SELECT t.id, s.name, a.worker_id, left(coalesce(a.error, t.reason), 500) AS error
                                  FROM tasks t JOIN specs s ON s.id = t.spec_id
                                  LEFT JOIN attempts a ON a.task_id = t.id AND a.attempt = t.attempt
                                 WHERE t.job_id = m.id AND t.state = 'failed' ORDER BY t.id LIMIT 5) AS f))
  FROM marked m
 CROSS JOIN LATERAL (
       SELECT count(*) AS attempts, coalesce(sum(a.run_s), 0) AS run_s
         FROM tasks t JOIN attempts a ON a.task_id = t.id WHERE t.job_id = m.id) AS work;

-- name: old_jobs
SELECT j.id FROM jobs j
 WHERE j.finished_at < farm_now() - make_interval(days => $1) AND NOT j.keep AND j.archived_at IS NULL
   AND NOT EXISTS (SELECT FROM schedules s WHERE s.last_job = j.id)
 ORDER BY j.finished_at LIMIT $2;

-- name: slice_of_archived
-- Tasks of archived jobs, in their order; two coordinators take different ones.
SELECT t.id FROM jobs j JOIN tasks t ON t.job_id = j.id
 WHERE j.archived_at IS NOT NULL ORDER BY t.job_id, t.id LIMIT $1 FOR UPDATE OF t SKIP LOCKED;

-- name: digests_of
-- Copies that no other task has.
SELECT DISTINCT o.digest FROM outputs o
 WHERE o.task_id = ANY($1::bigint[]) AND o.stored
   AND NOT EXISTS (SELECT FROM outputs p WHERE p.digest = o.digest AND p.stored AND p.task_id <> ALL($1::bigint[]));

-- name: unnamed
SELECT u.digest FROM unnest($1::text[]) AS u(digest)
 WHERE NOT EXISTS (SELECT FROM outputs o WHERE o.digest = u.digest AND o.stored);

-- name: remove_tasks
WITH gone_outputs AS (DELETE FROM outputs WHERE task_id = ANY($1::bigint[])),
     gone_sizes AS (DELETE FROM log_sizes WHERE task_id = ANY($1::bigint[])),
     gone_leases AS (DELETE FROM leases WHERE task_id = ANY($1::bigint[])),
     gone_needs AS (DELETE FROM dependencies WHERE task_id = ANY($1::bigint[])),
     gone_attempts AS (DELETE FROM attempts WHERE task_id = ANY($1::bigint[]))
DELETE FROM tasks WHERE id = ANY($1::bigint[]);

-- name: remove_jobs
DELETE FROM jobs j WHERE j.archived_at IS NOT NULL AND NOT EXISTS (SELECT FROM tasks t WHERE t.job_id = j.id);

-- name: remove_history
-- Looks at the next thousand rows after $2, in their order, which is that of time but for neighbours, and removes those
-- of $1 days ago that are about what is gone. How far it came; null when there is nothing old after that.
WITH looked AS MATERIALIZED (SELECT id, at, task_id, job_id FROM history WHERE id > $2 ORDER BY id LIMIT 1000),
     removed AS (
    DELETE FROM history WHERE id = ANY (ARRAY(
        SELECT l.id FROM looked l
         WHERE l.at < farm_now() - make_interval(days => $1)
           AND NOT EXISTS (SELECT FROM tasks t WHERE t.id = l.task_id)
           AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = l.job_id))))
SELECT max(id) FROM looked HAVING count(*) = 1000 AND min(at) < farm_now() - make_interval(days => $1);

-- name: remove_archives
DELETE FROM archives WHERE job_id IN (
    SELECT job_id FROM archives WHERE archived_at < farm_now() - make_interval(days => $1) LIMIT $2);

-- name: archived
SELECT job_id AS id, name, submitter, state, finished_at, archived_at, archived_by, reason AS archive_reason, summary
  FROM archives WHERE job_id = $1;

-- name: spawners
SELECT t.id, t.run, t.job_id, s.depth, j.queue, j.spawned, j.max_spawned
  FROM tasks t JOIN specs s ON s.id = t.spec_id JOIN jobs j ON j.id = t.job_id WHERE t.id = ANY($1::bigint[]);

-- name: spawned
SELECT parent, parent_run, name, first_task, count FROM specs WHERE parent = ANY($1::bigint[]);

-- name: group_for
-- The job's group of this class, made when there is none.
WITH there AS (SELECT id, job_id, class_id, ready, held FROM groups WHERE job_id = $1 AND class_id = $2 ORDER BY id LIMIT 1),
     made AS (INSERT INTO groups (job_id, class_id) SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM there)
              RETURNING id, job_id, class_id, ready, held)
SELECT * FROM there UNION ALL SELECT * FROM made;

-- name: spawn_numbers
-- A number for a specification, and the last of $1 for its tasks.
SELECT nextval(pg_get_serial_sequence('specs', 'id')), setval('task_ids', nextval('task_ids') + $1 - 1);

-- name: spawn_total
UPDATE jobs SET total = $2, spawned = $3 WHERE id = $1;

-- name: add_spawned
INSERT INTO specs (id, job_id, parent, parent_run, depth, group_id, name, first_task, count, is_array, array_values,
                   priority, retries, after, body)
OVERRIDING SYSTEM VALUE
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::jsonb, $12, $13, $14::text::jsonb, $15::text::jsonb);
