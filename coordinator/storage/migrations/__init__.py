"""Migrations: numbered, forward only, each a file of SQL that Alembic runs once, in order."""
