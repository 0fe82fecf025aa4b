"""Parameters that many routes take, each with its bounds."""

from typing import Annotated

from fastapi import Path, Query

from schemas.base import MAX_INT
from schemas.ids import WORKER_ID_PATTERN

Id = Annotated[int, Path(ge=1, le=MAX_INT)]
WorkerId = Annotated[str, Path(pattern=WORKER_ID_PATTERN)]
AttemptNumber = Annotated[int, Path(ge=1, le=2**31 - 1)]
Limit = Annotated[int, Query(ge=1, le=1000, description="how many on a page")]
Before = Annotated[int | None, Query(ge=1, le=MAX_INT, description="the cursor: `next` of the page before")]
After = Annotated[int, Query(ge=0, le=MAX_INT, description="the cursor: `next` of the page before")]
Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,63}$")]
AfterName = Annotated[str, Query(max_length=64, description="the cursor: `next` of the page before")]
Text = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")]
