"""Rows as the views' fields: names of array elements, sums of what a worker holds, nothing that may be a secret."""

import json
import re
from typing import Any, Final

import asyncpg

from coordinator.domain.rest import rest_of
from coordinator.domain.template import element_name
from schemas.views import Amounts, Asked, Counts, IdleView, Paused, SleepView

_SECRET: Final = re.compile(r"token|secret|passw|credential|key", re.IGNORECASE)

Row = asyncpg.Record


def cursor(rows: list[asyncpg.Record], limit: int) -> int | str | None:
    """Where the next page begins: *rows* are one more than a page when there is one."""
    return rows[limit - 1]["id"] if len(rows) > limit else None


def parsed(text: str | None) -> Any:
    """The JSON in *text*, which may be missing."""
    return None if text is None else json.loads(text)


def job(row: Row) -> dict[str, Any]:
    """The fields of a job."""
    counts = Counts(**{name: row[f"n_{name}"] for name in Counts.model_fields})
    return {**row, "counts": counts, "paused": paused(row)}


def paused(row: Row) -> Paused | None:
    """Who paused it, if it is paused."""
    return Paused(at=row["paused_at"], by=row["paused_by"], reason=row["pause_reason"]) if row["paused_at"] else None


def policy(text: str | None) -> dict[str, Any]:
    """What a job's submitter decided about failure, the share in words."""
    decided = parsed(text) or {}
    share = decided.pop("fail_share", None)
    if share is not None:
        decided["on_failure"] = f"fails at {share:.4g} of its tasks" if share else "fail_fast"
    return decided


def specification(body: dict[str, Any]) -> dict[str, Any]:
    """The specification as submitted, without what may be a secret and what is ours."""
    environment = {
        name: "***" if isinstance(value, str) and _SECRET.search(name) else value
        for name, value in body.get("environment", {}).items()
    }
    return {**{name: value for name, value in body.items() if name != "has_places"}, "environment": environment}


def job_specification(body: dict[str, Any] | None) -> dict[str, Any] | None:
    """A job as it was written, without what may be a secret."""
    if body is None:
        return None
    return {**body, "tasks": [_without_secrets(task) for task in body.get("tasks", ())]}


def _without_secrets(task: dict[str, Any]) -> dict[str, Any]:
    return specification(task) if "environment" in task else task


def dependencies(text: str) -> list[str]:
    """The names of the tasks that are waited for."""
    return [need["name"] for need in json.loads(text)]


def named(row: Row) -> dict[str, Any]:
    """The row with the name of the element in place of the array's."""
    values = dict(row)
    index, value = values.pop("index"), parsed(values.pop("value"))
    if values.pop("is_array"):
        values["name"] = element_name(values["name"], index, index if value is None else value)
    return values


def worker_detail(row: Row) -> dict[str, Any]:
    """The fields of a worker that is looked at, but what it holds."""
    schedule = parsed(row["sleep_schedule"])
    return {
        **worker(row),
        "instance": row["instance"],
        "boot_id": row["boot_id"],
        "platform": json.loads(row["platform"]),
        "can_restart": row["can_restart"],
        **{name: row[name] for name in ("supervises", "runners", "secrets", "enforces")},
        "stats": parsed(row["stats"]),
        "open_sessions": row["open_sessions"],
        "last_activity_at": row["last_activity_at"],
        "rests": rest_of({**row, "sleep_schedule": schedule}).sentence or None,
        "sleep": SleepView(schedule=schedule, next_at=row["sleep_next_at"]),
        "idle": IdleView(action=row["idle_action"], after_s=row["idle_after_s"], own=row["idle_own"]),
    }


def worker(row: Row) -> dict[str, Any]:
    """The fields of a worker."""
    stats = parsed(row["stats"]) or {}
    total = stats.get("memory_total")
    return {
        **row,
        "hostname": json.loads(row["platform"]).get("hostname", ""),
        "capacity": Amounts(**{name: row[name] for name in Amounts.model_fields}),
        "used": Amounts(**{name: row[f"used_{name}"] for name in Amounts.model_fields}),
        "asked": Asked(
            state=row["requested_state"],
            lazy=row["requested_lazy"],
            reason=row["requested_reason"],
            by=row["requested_by"],
            source=row["requested_source"],
            deadline_at=row["requested_deadline_at"],
        )
        if row["requested_state"]
        else None,
        "cpu_percent": stats.get("cpu_percent"),
        "memory_percent": 100 * stats.get("memory_used", 0) / total if total else None,
    }
