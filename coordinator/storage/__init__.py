"""Postgres: the only place that knows asyncpg. Rows in, domain values out, and back."""
