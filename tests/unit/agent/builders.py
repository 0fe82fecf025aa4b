"""Things as they travel, with everything defaulted."""

from datetime import UTC, date, datetime
from typing import Any

from schemas.task import AssignedAttempt, Command, Resources

TODAY = date(2026, 1, 1)
SERVER_TIME = datetime(2026, 1, 1, tzinfo=UTC)


def an_attempt(task: int = 1, attempt: int = 1, *, slots: int = 1, **more: Any) -> AssignedAttempt:
    """An attempt to run."""
    fields: dict[str, Any] = {
        "job": 1,
        "name": f"task {task}",
        "kind": "echo",
        "commands": [Command(name="echo", parameters={"message": "hello"})],
        "lease_s": 30.0,
        "directory": f"{task}/{attempt}",
        "day": TODAY,
        "resources": Resources(slots=slots),
    }
    return AssignedAttempt(task=task, attempt=attempt, **fields | more)
