"""The broker's own word on a worker's connection, and the guards before a loss."""

from coordinator.storage.migrations.script import run

revision = "0013"
down_revision = "0015"


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0013_liveness.sql")
