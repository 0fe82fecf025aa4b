"""The ground of all views, and what every list and every refusal looks like."""

from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict


class View(BaseModel):
    """Something to be shown. Immutable; unknown fields are ignored.

    Built when first used, so that a command that shows one thing does not wait for all the others.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


V = TypeVar("V")


class Page(View, Generic[V]):
    """Some of the things asked for, and the cursor of the next page (None: that was all)."""

    items: list[V]
    next: int | str | None = None


class Problem(View):
    """Why a request was not carried out (RFC 9457): `detail` is one line that says what to do."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None


class Submitted(View):
    """The job, and whether this submission made it (false: an earlier one with the same key did)."""

    job: int
    created: bool
    tasks: int


class Changed(View):
    """How many things the request changed; a large job goes on in the background."""

    count: int
    continues: bool = False


class Entry(View):
    """One event of a story."""

    id: int
    at: datetime
    event: str
    job: int | None
    task: int | None
    attempt: int | None
    worker: str | None
    actor: str | None
    detail: dict[str, Any] | None
