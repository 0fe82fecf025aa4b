"""Migrated databases, lent to one test after another: emptying one takes a tenth of copying one.

Promises: who borrows finds the rows, sequences, tables, functions and triggers of a database just migrated; at most
partitions of logs and samples are there already. A database that was altered, has grown, or that somebody is still
connected to is not lent again.
"""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from tests.support import services

#: A table that was larger would stay so, and slow the next test.
MOST_BYTES: Final = 2**20
#: What a test may have altered: every row of these catalogs tells by which transaction it was written.
_SHAPE: Final = """
    SELECT (SELECT array_agg((oid, xmin::text) ORDER BY oid) FROM pg_class
             WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND NOT relispartition)::text
        || (SELECT array_agg((oid, xmin::text) ORDER BY oid) FROM pg_proc
             WHERE pronamespace = 'public'::regnamespace)::text
        || (SELECT array_agg((oid, xmin::text) ORDER BY oid) FROM pg_constraint WHERE conparentid = 0)::text
        || (SELECT array_agg((oid, xmin::text) ORDER BY oid) FROM pg_trigger WHERE tgparentid = 0)::text
        || (SELECT count(*) FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase
             WHERE datname = current_database())
"""
_OTHERS: Final = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_LARGEST: Final = """
    SELECT max(pg_relation_size(oid)) FROM pg_class
     WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 't')
"""
_SEQUENCES: Final = """
    SELECT coalesce(array_agg(format('SELECT setval(%L, %s, %L)', format('%I.%I', schemaname, sequencename),
                                     coalesce(last_value, start_value), last_value IS NOT NULL)), '{}')
      FROM pg_sequences WHERE schemaname = 'public'
"""
_TABLES: Final = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
_EMPTY: Final = """
    DO $$
    DECLARE
        one text;
        there boolean;
    BEGIN
        FOR one IN SELECT format('%I', relname) FROM pg_class
                    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
            EXECUTE 'SELECT EXISTS (SELECT FROM ' || one || ')' INTO there;
            IF there THEN
                EXECUTE 'DELETE FROM ' || one;
            END IF;
        END LOOP;
    END $$
"""


class Databases:
    """Copies of one migrated database, on one server."""

    def __init__(self, server_url: str, template: str) -> None:
        self._server_url = server_url
        self._template = template
        self._free: list[str] = []
        #: The shape of each copy as it was made: its catalogs are its own.
        self._shapes: dict[str, str] = {}
        self._rows: dict[str, str] = {}
        self._sequences: list[str] = []

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[str]:
        """A database as if just migrated."""
        url = await self._free_one() or await self._new_one()
        try:
            yield url
        finally:
            self._free.append(url)

    async def drop(self) -> None:
        """Remove all of them."""
        while self._free:
            await services.drop_database(self._server_url, self._free.pop())

    async def _free_one(self) -> str | None:
        while self._free:
            url = self._free.pop()
            with contextlib.suppress(asyncpg.PostgresError):
                if await self._emptied(url):
                    return url
            await services.drop_database(self._server_url, url)
        return None

    async def _new_one(self) -> str:
        url = await services.create_database(self._server_url, self._template)
        connection = await asyncpg.connect(url)
        try:
            self._shapes[url] = await connection.fetchval(_SHAPE)
            if not self._sequences:
                await self._learn(connection)
        finally:
            await connection.close()
        return url

    async def _learn(self, connection: asyncpg.Connection) -> None:
        """What a migrated database holds."""
        self._sequences = await connection.fetchval(_SEQUENCES)
        for (table,) in await connection.fetch(_TABLES):
            rows = await connection.fetchval(f'SELECT json_agg(t) FROM "{table}" t')
            if rows is not None:
                self._rows[table] = rows

    async def _emptied(self, url: str) -> bool:
        connection: Any = await asyncpg.connect(url)
        try:
            unlike = await connection.fetchval(_SHAPE) != self._shapes[url]
            if unlike or await connection.fetchval(_OTHERS) or await connection.fetchval(_LARGEST) > MOST_BYTES:
                return False
            async with connection.transaction():
                # No triggers and no foreign keys: all goes.
                await connection.execute("SET LOCAL session_replication_role = replica")
                await connection.execute(_EMPTY)
                for table, rows in self._rows.items():
                    await connection.execute(
                        f'INSERT INTO "{table}" OVERRIDING SYSTEM VALUE '
                        f'SELECT * FROM json_populate_recordset(NULL::"{table}", $1)',
                        rows,
                    )
                await connection.execute(";".join(self._sequences))
        finally:
            await connection.close()
        return True
