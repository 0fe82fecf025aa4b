"""Tokens and roles."""

from coordinator.storage.migrations.script import run

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0008_access.sql")
