"""What operators have set: limits, weights, pauses; and the bodies by which they do."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.views.base import View
from schemas.views.wishes import Reason


class Paused(View):
    """Who paused it, when and why."""

    at: datetime
    by: str
    reason: str | None


class LimitScope(StrEnum):
    """What a limit of the farm counts: tasks at once of a queue, kind or submitter, or licenses in use."""

    QUEUE = "queue"
    KIND = "kind"
    SUBMITTER = "submitter"
    LICENSE = "license"


class LimitView(View):
    """A limit of the farm, and how much of it is in use now."""

    scope: LimitScope
    name: str
    total: int
    used: int
    set_at: datetime
    set_by: str
    reason: str | None


class WeightView(View):
    """A submitter's weight in fair share, where it is not 1."""

    submitter: str
    weight: float
    set_at: datetime
    set_by: str
    reason: str | None


class RulesView(View):
    """What operators have set for the farm."""

    fair_share: bool
    limits: list[LimitView]
    weights: list[WeightView]


class JobLimit(Reason):
    """So many of a job's tasks may be held at once; null: as many as there is room for."""

    limit: Annotated[int, Field(ge=1, le=1_000_000)] | None


class LimitWish(Reason):
    """So many at once; null takes the limit away."""

    total: Annotated[int, Field(ge=0, le=1_000_000_000)] | None


class WeightWish(Reason):
    """A submitter's weight; null: 1, as everybody has."""

    weight: Annotated[float, Field(gt=0, le=1000)] | None


class FairShare(Reason):
    """Whether submitters share alike."""

    on: bool
