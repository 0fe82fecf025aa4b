"""Limits, licences, fair share, pauses."""

from coordinator.storage.migrations.script import run

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0004_limits.sql")
