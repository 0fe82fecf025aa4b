-- name: tasks
UPDATE tasks t
   SET state = u.state, run = u.run, attempt = u.attempt, accepted_attempt = u.accepted_attempt,
       failures = u.failures, losses = u.losses, shortages = u.shortages,
       failed_on = string_to_array(u.failed_on, ','), unmet = u.unmet, not_before = u.not_before, reason = u.reason, changed_at = $1
  FROM unnest($2::bigint[], $3::text[], $4::integer[], $5::integer[], $6::integer[], $7::smallint[], $8::smallint[],
              $9::smallint[], $10::text[], $11::integer[], $12::timestamptz[], $13::text[])
       AS u(id, state, run, attempt, accepted_attempt, failures, losses, shortages, failed_on, unmet, not_before,
            reason)
 WHERE t.id = u.id;

-- name: completed
-- The hottest change of all, in a few columns: the attempt and its task, in one statement.
WITH done AS (
    UPDATE attempts a
       SET state = 'ended', ending = 'completed', accepted = true, ended_at = $1, seen_seq = u.seen_seq,
           exit_code = u.exit_code, result = u.result::jsonb, run_s = u.run_s
      FROM unnest($2::bigint[], $3::integer[], $4::bigint[], $5::integer[], $6::text[], $7::double precision[])
           AS u(task_id, attempt, seen_seq, exit_code, result, run_s)
     WHERE a.task_id = u.task_id AND a.attempt = u.attempt)
UPDATE tasks t
   SET state = 'completed', accepted_attempt = u.attempt, reason = NULL, changed_at = $1
  FROM unnest($2::bigint[], $3::integer[]) AS u(id, attempt)
 WHERE t.id = u.id;

-- name: assigned
UPDATE tasks t
   SET state = 'assigned', attempt = u.attempt, reason = NULL, changed_at = $1
  FROM unnest($2::bigint[], $3::integer[]) AS u(id, attempt)
 WHERE t.id = u.id;

-- name: attempts
UPDATE attempts a
   SET epoch = u.epoch, state = u.state, ending = u.ending, accepted = u.accepted, seen_seq = u.seen_seq,
       sent_at = u.sent_at, sends = u.sends, started_at = u.started_at, ended_at = u.ended_at,
       promoted_at = u.promoted_at, exit_code = u.exit_code, error = u.error, result = u.result::jsonb, run_s = u.run_s,
       done = u.done, total = u.total, activity = u.activity, cause = u.cause
  FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::text[], $5::text[], $6::boolean[], $7::bigint[],
              $8::timestamptz[], $9::smallint[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[],
              $13::integer[], $14::text[], $15::text[], $16::double precision[], $17::bigint[], $18::bigint[],
              $19::text[], $20::text[])
       AS u(task_id, attempt, epoch, state, ending, accepted, seen_seq, sent_at, sends, started_at, ended_at,
            promoted_at, exit_code, error, result, run_s, done, total, activity, cause)
 WHERE a.task_id = u.task_id AND a.attempt = u.attempt;

-- name: signs
-- Watched attempts that gave a sign at $1: when to look at them.
UPDATE attempts a
   SET heard_at = $1,
       look_at = least(a.started_at + make_interval(secs => s.max_run_s),
                       $1::timestamptz + make_interval(secs => s.no_progress_s))
  FROM unnest($2::bigint[], $3::integer[]) AS u(task_id, attempt)
  JOIN tasks t ON t.id = u.task_id
  JOIN specs s ON s.id = t.spec_id
 WHERE a.task_id = u.task_id AND a.attempt = u.attempt;

-- name: looks
UPDATE attempts a SET look_at = u.look_at
  FROM unnest($1::bigint[], $2::integer[], $3::timestamptz[]) AS u(task_id, attempt, look_at)
 WHERE a.task_id = u.task_id AND a.attempt = u.attempt;

-- name: expired
UPDATE specs s SET deadline_next = u.next FROM unnest($1::bigint[], $2::bigint[]) AS u(id, next) WHERE s.id = u.id;

-- name: jobs
UPDATE jobs j
   SET state = u.state, expanded = u.expanded, n_blocked = u.n_blocked, n_scheduled = u.n_scheduled,
       n_paused = u.n_paused, n_ready = u.n_ready, n_assigned = u.n_assigned, n_running = u.n_running, n_completed = u.n_completed,
       n_failed = u.n_failed, n_canceled = u.n_canceled, cancel_requested_at = u.cancel_requested_at,
       cancel_reason = u.cancel_reason, finished_at = u.finished_at
  FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::integer[], $5::integer[], $6::integer[], $7::integer[],
              $8::integer[], $9::integer[], $10::integer[], $11::integer[], $12::integer[], $13::timestamptz[],
              $14::text[], $15::timestamptz[])
       AS u(id, state, expanded, n_blocked, n_scheduled, n_paused, n_ready, n_assigned, n_running, n_completed, n_failed,
            n_canceled, cancel_requested_at, cancel_reason, finished_at)
 WHERE j.id = u.id;

-- name: groups
UPDATE groups g SET ready = u.ready, held = u.held
  FROM unnest($1::bigint[], $2::integer[], $3::integer[]) AS u(id, ready, held)
 WHERE g.id = u.id;

-- name: job_rules
-- What people set for a job, apart from what every event changes.
UPDATE jobs j
   SET task_limit = u.task_limit, limit_set_at = u.limit_set_at, paused_at = u.paused_at, paused_by = u.paused_by,
       pause_reason = u.pause_reason
  FROM unnest($1::bigint[], $2::integer[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[])
       AS u(id, task_limit, limit_set_at, paused_at, paused_by, pause_reason)
 WHERE j.id = u.id;

-- name: set_limit
INSERT INTO limits (scope, name, total, set_at, set_by, reason) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (scope, name) DO UPDATE
   SET total = excluded.total, set_at = excluded.set_at, set_by = excluded.set_by, reason = excluded.reason;

-- name: remove_limit
DELETE FROM limits WHERE scope = $1 AND name = $2;

-- name: set_weight
INSERT INTO weights (submitter, weight, set_at, set_by, reason) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (submitter) DO UPDATE
   SET weight = excluded.weight, set_at = excluded.set_at, set_by = excluded.set_by, reason = excluded.reason;

-- name: remove_weight
DELETE FROM weights WHERE submitter = $1;

-- name: pause_queue
INSERT INTO paused_queues (name, paused_at, paused_by, reason) VALUES ($1, $2, $3, $4);

-- name: resume_queue
DELETE FROM paused_queues WHERE name = $1;

-- name: set_fair_share
UPDATE rules SET fair_share = $1, version = version + 1;

-- name: turns
INSERT INTO turns (queue, submitter, turn)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[]) AS u(queue, submitter, turn)
ON CONFLICT (queue, submitter) DO UPDATE SET turn = excluded.turn;

-- name: worker
INSERT INTO workers (id, protocol, connection, duty, epoch, instance, boot_id, software, platform, kinds, queues, tags,
                     labels, zone, slots, cpus, memory_mb, gpus, can_restart, requested_state, requested_lazy,
                     requested_reason, requested_by, requested_instance, reason, requested_source, requested_at,
                     requested_deadline_at, resume, arrivals, sleep_schedule, sleep_next_at, idle_action, idle_after_s,
                     idle_noted_at, idle_refused_at, supervises, runners, secrets, enforces, foreign_id, heartbeat_s,
                     lost_after_s, connection_name, suspect_at, cut_at, online_at, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
        $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $47)
ON CONFLICT (id) DO UPDATE
   SET protocol = excluded.protocol, connection = excluded.connection, duty = excluded.duty, epoch = excluded.epoch,
       instance = excluded.instance, boot_id = excluded.boot_id, software = excluded.software,
       platform = excluded.platform, kinds = excluded.kinds, queues = excluded.queues, tags = excluded.tags,
       labels = excluded.labels, zone = excluded.zone, slots = excluded.slots, cpus = excluded.cpus,
       memory_mb = excluded.memory_mb, gpus = excluded.gpus, can_restart = excluded.can_restart,
       requested_state = excluded.requested_state, requested_lazy = excluded.requested_lazy,
       requested_reason = excluded.requested_reason, requested_by = excluded.requested_by,
       requested_instance = excluded.requested_instance, reason = excluded.reason,
       requested_source = excluded.requested_source, requested_at = excluded.requested_at,
       requested_deadline_at = excluded.requested_deadline_at, resume = excluded.resume, arrivals = excluded.arrivals,
       sleep_schedule = excluded.sleep_schedule, sleep_next_at = excluded.sleep_next_at,
       idle_action = excluded.idle_action, idle_after_s = excluded.idle_after_s,
       idle_noted_at = excluded.idle_noted_at, idle_refused_at = excluded.idle_refused_at,
       supervises = excluded.supervises, runners = excluded.runners, secrets = excluded.secrets,
       enforces = excluded.enforces,
       foreign_id = excluded.foreign_id, heartbeat_s = excluded.heartbeat_s,
       lost_after_s = excluded.lost_after_s,
       connection_name = excluded.connection_name, suspect_at = excluded.suspect_at, cut_at = excluded.cut_at,
       online_at = CASE WHEN workers.epoch = excluded.epoch THEN workers.online_at ELSE excluded.online_at END,
       changed_at = excluded.changed_at;

-- name: seen
-- A worker said that it is here: its silence starts anew, and so does the count of its envelopes.
INSERT INTO worker_liveness (worker_id, epoch, last_seen_at, last_seq)
SELECT u.worker_id, u.epoch, $1, u.seq FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS u(worker_id, epoch, seq)
ON CONFLICT (worker_id) DO UPDATE
   SET epoch = excluded.epoch, last_seen_at = excluded.last_seen_at, last_seq = excluded.last_seq;

-- name: outputs
INSERT INTO outputs (task_id, attempt, name, size, digest, media_type, stored, location)
SELECT DISTINCT ON (task_id, attempt, name) *
  FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::boolean[], $8::text[])
       AS u(task_id, attempt, name, size, digest, media_type, stored, location)
ON CONFLICT (task_id, attempt, name) DO UPDATE
   SET size = excluded.size, digest = excluded.digest, media_type = coalesce(excluded.media_type, outputs.media_type),
       stored = excluded.stored OR (outputs.stored AND outputs.digest = excluded.digest),
       location = coalesce(excluded.location, outputs.location),
       at = CASE WHEN excluded.digest = outputs.digest THEN outputs.at ELSE farm_now() END;

-- name: parkings
INSERT INTO parked (queue, routing_key, body, headers, user_id, message_id, reason, field, detail)
SELECT queue, routing_key, body, headers::jsonb, user_id, message_id, reason, field, detail
  FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
              $9::text[]) AS u(queue, routing_key, body, headers, user_id, message_id, reason, field, detail);

-- name: close_parked
UPDATE parked p SET state = u.state, closed_at = $1, closed_by = u.actor
  FROM unnest($2::bigint[], $3::text[], $4::text[]) AS u(id, state, actor)
 WHERE p.id = u.id;

-- name: lend
INSERT INTO leases (task_id, attempt, worker_id) SELECT * FROM unnest($1::bigint[], $2::integer[], $3::text[]);

-- name: close_leases
UPDATE leases l
   SET closed_at = coalesce(l.closed_at, $1),
       released_at = CASE WHEN u.released IS NULL THEN l.released_at ELSE $1 END,
       released_by = coalesce(u.released, l.released_by)
  FROM unnest($2::bigint[], $3::integer[], $4::text[]) AS u(task_id, attempt, released)
 WHERE l.task_id = u.task_id AND l.attempt = u.attempt;

-- name: duties
INSERT INTO duties (name, last_run_at) SELECT name, $1 FROM unnest($2::text[]) AS name
ON CONFLICT (name) DO UPDATE SET last_run_at = excluded.last_run_at;

-- name: add_classes
INSERT INTO classes (fingerprint, queue, kind, tags, labels, zone, slots, cpus, memory_mb, gpus, exclusive,
                     licenses, runners, secrets, limits)
SELECT u.fingerprint, u.queue, u.kind, string_to_array(u.tags, ','), string_to_array(u.labels, ','), u.zone, u.slots,
       u.cpus, u.memory_mb, u.gpus, string_to_array(u.exclusive, ','), u.licenses::jsonb,
       string_to_array(u.runners, ','), string_to_array(u.secrets, ','), string_to_array(u.limits, ',')
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[],
              $8::double precision[], $9::bigint[], $10::integer[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[])
       AS u(fingerprint, queue, kind, tags, labels, zone, slots, cpus, memory_mb, gpus, exclusive, licenses, runners,
            secrets, limits)
ON CONFLICT (fingerprint) DO NOTHING;

-- name: class_ids
SELECT id, fingerprint FROM classes WHERE fingerprint = ANY($1::text[]);

-- name: reserve_tasks
-- The last of $1 new task numbers in a row. Safe because the farm's lock is held.
SELECT setval('task_ids', nextval('task_ids') + $1 - 1);

-- name: add_job
INSERT INTO jobs (name, key, submitter, queue, priority, state, total, first_task, submitted_at, policy, watched,
                  task_limit, limit_set_at)
VALUES ($1, $2, $3, $4, $5, 'active', $6, $7, $8, $9, $10, $11,
        CASE WHEN $11::integer IS NOT NULL THEN $8::timestamptz END)
RETURNING id;

-- name: mark_job
-- What few jobs have: an origin, and the wish to be kept.
UPDATE jobs SET origin = $2::jsonb, keep = $3, max_spawned = $4 WHERE id = $1;

-- name: add_groups
INSERT INTO groups (job_id, class_id) SELECT $1, class_id FROM unnest($2::bigint[]) AS class_id
RETURNING id, job_id, class_id, ready, held;

-- name: add_specs
INSERT INTO specs (job_id, group_id, name, first_task, count, is_array, array_values, priority, retries, after, body,
                   not_before, deadline, max_run_s, no_progress_s, deadline_next)
SELECT $1, group_id, name, first_task, count, is_array, array_values::jsonb, priority, retries, after::jsonb,
       body::jsonb, not_before, deadline, max_run_s, no_progress_s, CASE WHEN deadline IS NOT NULL THEN first_task END
  FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::integer[], $6::boolean[], $7::text[], $8::smallint[],
              $9::smallint[], $10::text[], $11::text[], $12::timestamptz[], $13::timestamptz[],
              $14::double precision[], $15::double precision[])
       AS u(group_id, name, first_task, count, is_array, array_values, priority, retries, after, body, not_before,
            deadline, max_run_s, no_progress_s)
RETURNING id, first_task;
