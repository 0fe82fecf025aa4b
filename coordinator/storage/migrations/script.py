"""Runs a whole file of SQL inside a migration."""

from importlib.resources import files

from alembic import op


def run(name: str) -> None:
    """Execute the statements of *name*, on the driver's own connection (it takes many at a time)."""
    text = files("coordinator.storage.migrations").joinpath(name).read_text(encoding="utf-8")
    connection = op.get_bind().connection.dbapi_connection
    if connection is None:
        raise RuntimeError("the migration has no connection")
    connection.run_async(lambda driver: driver.execute(text))
