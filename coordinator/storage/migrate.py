"""Brings a database to the schema of this release. Safe to call by several at once: one works, the others wait."""

from functools import cache
from importlib.resources import files
from typing import Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from coordinator.storage.queries import load

_SQL: Final = load("revision")
_LOCK: Final = 0x6661726D6D  # "farmm"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("coordinator.storage").joinpath("migrations")))
    config.set_main_option("path_separator", "os")
    return config


@cache
def newest() -> str:
    """The revision that this release needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


async def migrate(database_url: str) -> tuple[str | None, str]:
    """Run the missing migrations on the database at *database_url*; the revisions before and after."""
    engine = create_async_engine(make_url(database_url).set(drivername="postgresql+asyncpg"), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            await connection.commit()
            try:
                before = await connection.run_sync(_revision)
                await connection.commit()
                if before != newest():
                    await connection.run_sync(_upgrade)
                    await connection.commit()
            finally:
                await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
                await connection.commit()
    finally:
        await engine.dispose()
    return before, newest()


async def revision(database_url: str) -> str | None:
    """The revision that the database at *database_url* has, None before the first migration."""
    connection = await asyncpg.connect(database_url)
    try:
        return await revision_on(connection)
    finally:
        await connection.close()


async def revision_on(connection: asyncpg.Connection) -> str | None:
    """The same, seen on *connection*."""
    there: str | None = None
    if await connection.fetchval(_SQL["has_revision"]):
        there = await connection.fetchval(_SQL["revision"])
    return there


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
