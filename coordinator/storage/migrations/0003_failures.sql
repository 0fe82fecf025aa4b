-- Failures, blocklists, worker health.
SELECT 1;
