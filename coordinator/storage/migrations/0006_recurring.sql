-- Schedules, templates, dynamic tasks, retention.
SELECT 1;
