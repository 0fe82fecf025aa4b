"""What an OpenWork worker sends (OpenWork, "Record worker heartbeat"): a JSON object of up to four fields.

Times are RFC 3339 in UTC with a `Z`; numbers are JavaScript's, so `3.0` is an integer. Newer senders say one thing more
that the document does not know: how many sessions are busy. Whatever is wrong with that is passed over.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, StrictBool

from coordinator.gateways.kit import Lenient

#: The document's own patterns.
INSTANT: Final = (
    r"^(?:(?:\d\d[2468][048]|\d\d[13579][26]|\d\d0[48]|[02468][048]00|[13579][26]00)-02-29|"
    r"\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|"
    r"(?:02)-(?:0[1-9]|1\d|2[0-8])))T(?:(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?:Z))$"
)
MOST_SESSIONS: Final = 2**53 - 1
_INSTANT: Final = re.compile(INSTANT, re.ASCII)
_TYPEID: Final = re.compile(r"wrk_[0-7][0-9a-hjkmnp-tv-z]{25}", re.ASCII)


def is_typeid(text: str) -> bool:
    """Whether *text* is the TypeID of a worker: `wrk_` and 128 bits in base 32, small letters without i, l, o and u."""
    return _TYPEID.fullmatch(text) is not None


def instant(value: Any) -> datetime:
    """A time as the document writes it. Fractions finer than a microsecond are cut; before the year 1 is the year 1."""
    if not isinstance(value, str) or "\n" in value or _INSTANT.fullmatch(value) is None:
        raise ValueError("must be an ISO 8601 time in UTC, such as 2026-11-07T05:31:56Z")
    if value.startswith("0000"):
        return datetime(1, 1, 1, tzinfo=UTC)
    return datetime.fromisoformat(value)


def _activity(value: Any) -> datetime | None:
    return None if value is None else instant(value)


def _sessions(value: Any) -> int:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or value != value // 1 or not 0 <= value <= MOST_SESSIONS:
        raise ValueError(f"must be an integer from 0 to {MOST_SESSIONS}")
    return int(value)


def _busy(value: Any) -> int | None:
    try:
        return _sessions(value)
    except ValueError:
        return None


class Heartbeat(Lenient):
    """A worker's activity. What is missing is None; only `lastActivityAt` may be null.

    Senders count every session that there is as open, and as busy those that do something just now.
    """

    is_active_recently: Annotated[StrictBool, Field(alias="isActiveRecently")]
    sent_at: Annotated[datetime | None, BeforeValidator(instant), Field(alias="sentAt")] = None
    last_activity_at: Annotated[datetime | None, BeforeValidator(_activity), Field(alias="lastActivityAt")] = None
    open_session_count: Annotated[int | None, BeforeValidator(_sessions), Field(alias="openSessionCount")] = None
    busy_session_count: Annotated[int | None, BeforeValidator(_busy), Field(alias="busySessionCount")] = None
