"""JSON bodies that people and programs send: read up to a limit, in bounded time, then checked in one place."""

import asyncio
from typing import Any, Final

from fastapi import Depends, Request
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from coordinator.api.farm import FarmHere
from coordinator.api.problems import ProblemError
from schemas.base import decode

#: A body of anything but a job.
SMALL_BYTES: Final = 64 * 1024
#: A job with all its tasks.
SUBMISSION_BYTES: Final = 64 * 1024 * 1024
_READ_S: Final = 120.0


def body_of(model: type[BaseModel], limit: int = SMALL_BYTES) -> Any:
    """A dependency: the *model* in the request's body. An empty body is an empty object.

    A large body is decoded in a thread, and few at once, so that the coordinator goes on meanwhile.
    """

    async def read(request: Request, farm: FarmHere) -> BaseModel:
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > limit:
            raise ProblemError(413, f"a body of {length} bytes is more than the {limit} allowed", kind="oversized")
        if limit <= SMALL_BYTES or (length.isdecimal() and int(length) <= SMALL_BYTES):
            return decode(await _bytes(request, limit), model, limit=limit)
        async with farm.large_bodies:
            body = await _bytes(request, limit)
            return await asyncio.to_thread(decode, body, model, limit=limit)

    return Depends(read)


async def _bytes(request: Request, limit: int) -> bytes:
    body = await received(request, limit)
    if body and request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ProblemError(415, "send the body as application/json", kind="media-type")
    return body or b"{}"


async def received(request: Request, limit: int) -> bytes:
    """The body, whatever it is: at most *limit* bytes, in bounded time."""
    body = bytearray()
    try:
        async with asyncio.timeout(_READ_S):
            async for piece in request.stream():
                body += piece
                if len(body) > limit:
                    raise ProblemError(413, f"the body is longer than the {limit} bytes allowed", kind="oversized")
    except TimeoutError:
        raise ProblemError(408, f"the body did not come within {_READ_S:.0f} s") from None
    except ClientDisconnect:
        raise ProblemError(400, "the connection closed in the middle of the body") from None
    return bytes(body)
