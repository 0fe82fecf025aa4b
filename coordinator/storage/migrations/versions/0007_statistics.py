"""Machine statistics as time series."""

from coordinator.storage.migrations.script import run

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0007_statistics.sql")
