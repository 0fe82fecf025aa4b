"""Tasks for Celery's workers."""

from typing import Any


def a_call(kind: str, *args: Any, **fields: Any) -> dict[str, Any]:
    """A task that calls the Celery task of this name."""
    return {"name": kind, "kind": kind, "commands": [{"name": "celery", "parameters": {"args": list(args)}}], **fields}
