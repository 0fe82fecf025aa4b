-- Tokens and roles.
SELECT 1;
