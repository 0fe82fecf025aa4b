"""What keeps the database at its size."""

from coordinator.storage.migrations.script import run

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0017_bounds.sql")
