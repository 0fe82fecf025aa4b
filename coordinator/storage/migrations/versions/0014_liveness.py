"""The broker's own word on a worker's connection, and the guards before a loss."""

from coordinator.storage.migrations.script import run

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0014_liveness.sql")
