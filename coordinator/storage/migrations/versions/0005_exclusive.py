"""Exclusive tasks and their leases."""

from coordinator.storage.migrations.script import run

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0005_exclusive.sql")
