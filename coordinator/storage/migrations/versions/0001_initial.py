"""The farm as it began."""

from coordinator.storage.migrations.script import run

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0001_initial.sql")
