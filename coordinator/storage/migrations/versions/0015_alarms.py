"""That the broker takes nothing, as a coordinator sees it."""

from coordinator.storage.migrations.script import run

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0015_alarms.sql")
