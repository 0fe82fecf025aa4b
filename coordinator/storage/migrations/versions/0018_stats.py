"""Keeps a heartbeat's row small."""

from coordinator.storage.migrations.script import run

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0018_stats.sql")
