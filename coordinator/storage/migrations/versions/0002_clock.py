"""One clock for the whole farm."""

from coordinator.storage.migrations.script import run

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0002_clock.sql")
