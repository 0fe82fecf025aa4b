"""Deadlines, maximum run times, no-progress time-outs."""

from coordinator.storage.migrations.script import run

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0009_times.sql")
