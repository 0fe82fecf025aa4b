"""Tasks that workers behind gateways have from elsewhere."""

from coordinator.storage.migrations.script import run

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0016_watched_tasks.sql")
