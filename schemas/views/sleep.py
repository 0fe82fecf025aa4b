"""Sleep schedules as people write them and read them: ranges of the week on the clock of a place."""

from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from schemas.base import Strict
from schemas.views.base import View

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Start = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
End = Annotated[str, StringConstraints(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")]


def _known(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{zone!r} is no time zone such as Europe/Berlin or UTC") from None
    return zone


Zone = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_known)]


class SleepRange(Strict):
    """Asleep from `start` of these days (none: of all) until `end`, which is on the next day when it is not later."""

    days: Annotated[list[Day], Field(max_length=7)] = Field(default_factory=list)
    start: Start
    end: End


class SleepSchedule(Strict):
    """When a worker sleeps, on the clock of `zone`.

    Going to sleep is lazy (after what it runs), at once, or lazy for `within_s` seconds and then at once.
    """

    zone: Zone = "UTC"
    asleep: Annotated[list[SleepRange], Field(max_length=50)]
    lazy: bool = True
    within_s: Annotated[float | None, Field(gt=0, le=24 * 3600)] = None

    @model_validator(mode="after")
    def _one_way(self) -> "SleepSchedule":
        if self.within_s is not None and not self.lazy:
            raise ValueError("within_s is for lazy schedules")
        return self


class SleepView(View):
    """A worker's schedule (None: it has none), and when it next changes (None: never)."""

    schedule: SleepSchedule | None
    next_at: datetime | None
