"""What operators and schedules ask of workers."""

from coordinator.storage.migrations.script import run

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0002_worker_states.sql")
