-- Which migrations a database has.

-- name: has_revision
SELECT to_regclass('alembic_version') IS NOT NULL;

-- name: revision
SELECT version_num FROM alembic_version;
