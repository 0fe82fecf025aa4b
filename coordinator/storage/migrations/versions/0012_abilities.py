"""What tasks ask of their worker beside its size: commands, secrets, limits."""

from coordinator.storage.migrations.script import run

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Run the SQL beside it."""
    run("0012_abilities.sql")
