"""The calls about limits, weights, fair share, paused queues and frozen zones."""

from pydantic import TypeAdapter

from coordinator.client.calls.call import Call, change, get, part
from schemas.views import Changed, Entry, FreezeView, Page, RulesView


def pause_queue(queue: str, *, reason: str | None = None) -> Call[Changed]:
    """Give nothing more from a queue to workers; what runs goes on."""
    return change(f"queues/{part(queue)}/pause", reason=reason)


def resume_queue(queue: str, *, reason: str | None = None) -> Call[Changed]:
    """Give what waits in a queue to workers again."""
    return change(f"queues/{part(queue)}/resume", reason=reason)


def rules() -> Call[RulesView]:
    """All limits with what is in use, all weights, and whether fair share is on."""
    return get("limits", RulesView)


def story_of_rules(*, after: int = 0, limit: int = 100) -> Call[Page[Entry]]:
    """Who set what, and paused which queue."""
    return get("limits/story", Page[Entry], after=after, limit=limit)


def set_limit(scope: str, name: str, total: int | None, *, reason: str | None = None) -> Call[Changed]:
    """Let so many tasks of a queue, kind or submitter be held at once, or let the farm have so many of a license."""
    return change(f"limits/{part(scope)}/{part(name)}", method="PUT", total=total, reason=reason)


def set_weight(submitter: str, weight: float | None, *, reason: str | None = None) -> Call[Changed]:
    """Give a submitter a weight in fair share; None: 1, as everybody has."""
    return change(f"weights/{part(submitter)}", method="PUT", weight=weight, reason=reason)


def set_fair_share(*, on: bool, reason: str | None = None) -> Call[Changed]:
    """Turn fair share on or off."""
    return change("fair-share", method="PUT", on=on, reason=reason)


def freezes() -> Call[list[FreezeView]]:
    """Where workers that are not heard are not given up for now."""
    adapter = TypeAdapter(list[FreezeView])
    return Call("GET", "freezes", lambda response: adapter.validate_json(response.content))


def thaw_zone(zone: str, *, reason: str | None = None) -> Call[Changed]:
    """Give up who is suspect in a frozen zone: they are gone indeed."""
    return change(f"freezes/{part(zone)}/thaw", reason=reason)
