"""What operators and schedules ask of workers."""

from coordinator.storage.migrations.script import run

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0010_worker_states.sql")
