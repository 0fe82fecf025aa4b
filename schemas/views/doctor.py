"""What the doctor found: one line for each thing that was looked at, and what to do where it is not well."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from schemas.views.base import View


class CheckState(StrEnum):
    """How a thing is. `unknown`: it could not be looked at, and why."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    UNKNOWN = "unknown"


class CheckView(View):
    """One thing that was looked at.

    `part` is coordinator, database, broker, farm or invariants; `said` what was seen, in one line; `remedy` what to do
    about it; `rows` are what shows it, some of them. `unreachable`: the part could not be asked at all.
    """

    part: str
    name: str
    state: CheckState
    said: str
    remedy: str = ""
    rows: list[dict[str, Any]] = Field(default_factory=list)
    unreachable: bool = False


class Diagnosis(View):
    """All that was looked at: by which coordinator (or by the command itself), of which release, when by its clock."""

    by: str
    version: str
    at: datetime
    checks: list[CheckView]
