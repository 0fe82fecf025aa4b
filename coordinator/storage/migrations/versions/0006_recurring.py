"""Schedules, templates, dynamic tasks, retention."""

from coordinator.storage.migrations.script import run

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0006_recurring.sql")
