-- Exclusive tasks and their leases.
SELECT 1;
