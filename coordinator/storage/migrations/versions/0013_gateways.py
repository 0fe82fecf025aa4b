"""Workers behind gateways, and what they show."""

from coordinator.storage.migrations.script import run

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0013_gateways.sql")
