"""Failures, blocklists, worker health."""

from coordinator.storage.migrations.script import run

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0003_failures.sql")
