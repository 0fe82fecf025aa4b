"""The calls about the farm as a whole: parked messages, statistics, access, what is wrong."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import TypeAdapter

from coordinator.client.calls.call import Call, change, get, part, read_as
from schemas.roles import Role
from schemas.views import (
    ActivityReport,
    Changed,
    CredentialView,
    CredentialWish,
    Diagnosis,
    FarmInfo,
    MetricView,
    NewTokenView,
    Page,
    ParkedDetail,
    ParkedView,
    Series,
    TokenView,
    TokenWish,
    WatchedTaskView,
)


def parked(
    *, state: str = "parked", reason: str | None = None, before: int | None = None, limit: int = 100
) -> Call[Page[ParkedView]]:
    """Parked messages, the newest first."""
    return get("parked", Page[ParkedView], state=state, reason=reason, before=before, limit=limit)


def watched(
    *,
    worker: str | None = None,
    name: str | None = None,
    state: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> Call[Page[WatchedTaskView]]:
    """Tasks that workers behind gateways have from elsewhere, the newest first."""
    query = {"worker": worker, "name": name, "state": state, "before": before, "limit": limit}
    return get("watched", Page[WatchedTaskView], **query)


def parked_one(parked: int) -> Call[ParkedDetail]:
    """One parked message with its bytes."""
    return get(f"parked/{parked}", ParkedDetail)


def replay_parked(parked: int) -> Call[Changed]:
    """Put a parked message through the same checks again."""
    return change(f"parked/{parked}/replay")


def drop_parked(parked: int) -> Call[Changed]:
    """Put a parked message aside for good."""
    return change(f"parked/{parked}/drop")


def metrics() -> Call[list[MetricView]]:
    """What is measured."""
    adapter = TypeAdapter(list[MetricView])
    return Call("GET", "statistics", lambda response: adapter.validate_json(response.content))


def series(
    metric: str, *, workers: Sequence[str] = (), split: str = "farm", aggregations: Sequence[str] = (), **time: Any
) -> Call[Series]:
    """A metric over `time` (since, until, interval: seconds), of the farm or split by worker or variant."""
    query = {"worker": list(workers), "split": split, "aggregation": list(aggregations), **time}
    return get("statistics/series", Series, metric=metric, **query)


def activity(**time: Any) -> Call[ActivityReport]:
    """How many workers were there, and how many active, over `time` (since, until, interval: seconds)."""
    return get("statistics/activity", ActivityReport, **time)


def tokens(*, revoked: bool = False) -> Call[Page[TokenView]]:
    """API tokens by name, without the secrets."""
    return get("access", Page[TokenView], revoked=revoked)


def create_token(name: str, role: str, *, expires_at: datetime | None = None) -> Call[NewTokenView]:
    """Make a token for viewers, submitters, operators, admins or agents; the answer is the only one that shows it."""
    wish = TokenWish(name=name, role=Role(role), expires_at=expires_at)
    return Call("POST", "access", partial(read_as, NewTokenView), body=wish.model_dump_json().encode())


def create_credential(gateway: str, name: str, *, expires_at: datetime | None = None) -> Call[CredentialView]:
    """Make what opens this gateway; the answer is the only one that shows it."""
    wish = CredentialWish(gateway=gateway, name=name, expires_at=expires_at)
    return Call("POST", "access/gateways", partial(read_as, CredentialView), body=wish.model_dump_json().encode())


def revoke_token(name: str) -> Call[Changed]:
    """Accept it no longer."""
    return Call("DELETE", f"access/{part(name)}", partial(read_as, Changed))


def info() -> Call[FarmInfo]:
    """The coordinator's release, and the farm in numbers."""
    return get("info", FarmInfo)


def doctor() -> Call[Diagnosis]:
    """What is wrong with the farm, its database and its broker."""
    return get("doctor", Diagnosis)
