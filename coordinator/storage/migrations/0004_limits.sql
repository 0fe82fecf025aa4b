-- Limits, licences, fair share, pauses.
SELECT 1;
