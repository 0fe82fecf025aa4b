"""Pictures that workers have rendered become outputs of their attempt, in three sizes (Flamenco 3, output-produced).

What can be told from the headers is answered before a byte of the body is read. A picture is accepted when it is here
and looks like one; it is made smaller afterwards, a few at a time, and what cannot be made smaller is told in the log.
"""

import asyncio
import hashlib
import io
import logging
import warnings
from collections.abc import AsyncIterator
from typing import Final

from fastapi import APIRouter, Request, Response
from PIL import Image, UnidentifiedImageError

from coordinator.api.bodies import received
from coordinator.api.outputs import MAX_OUTPUT_BYTES
from coordinator.gateways.flamenco_v3.answers import Operation
from coordinator.gateways.flamenco_v3.door import Door
from coordinator.gateways.flamenco_v3.tasks import known_attempt, own
from coordinator.gateways.flamenco_v3.translate import Ref
from coordinator.gateways.kit import Fault, Gate
from coordinator.operations.pulling import MayRun
from coordinator.operations.requests import RecordOutput
from schemas.task import OutputFile

_log = logging.getLogger(__name__)

#: At most so many are here at once.
MOST_AT_ONCE: Final = 3
#: A larger one is no frame of a film.
MOST_PIXELS: Final = 128 * 1024 * 1024
#: The largest comes last: it is the job's last picture.
SIZES: Final = (
    ("last-rendered-tiny.jpg", (200, 112)),
    ("last-rendered-small.jpg", (600, 338)),
    ("last-rendered.jpg", (1920, 1080)),
)
_FORMATS: Final = {"image/jpeg": "JPEG", "image/png": "PNG"}
_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
OUTPUT: Final = Operation(
    "taskOutputProduced",
    {202: ("accepted", None)},
    (400, 403, 404, 408, 409, 411, 413, 415, 429, 503),
    extra={"requestBody": {"required": True, "content": dict.fromkeys(_FORMATS, _BINARY)}},
)


class Pictures:
    """Their route."""

    def __init__(self, gate: Gate, door: Door) -> None:
        self._gate = gate
        self._door = door
        self._here = 0
        self._making: set[asyncio.Task[None]] = set()

    def add(self, router: APIRouter) -> None:
        """Add it."""
        OUTPUT.add(router, "POST", "/task/{task_id}/output-produced", self.produced)

    async def produced(self, request: Request, task_id: str) -> Response:
        """Take in a picture that the worker has just rendered."""
        worker = await self._door.worker(request)
        ref = known_attempt(task_id)
        _check_length(request.headers.get("content-length"))
        wanted = _FORMATS.get(request.headers.get("content-type", "").partition(";")[0].strip().lower())
        if wanted is None:
            raise Fault(415, "send image/jpeg or image/png")
        own(await self._door.ask(MayRun(worker, *ref)))
        if self._here >= MOST_AT_ONCE:
            raise Fault(
                429, f"{self._here} pictures are being made smaller: leave some out", headers={"Retry-After": "5"}
            )
        self._here += 1
        try:
            body = await received(request, MAX_OUTPUT_BYTES)
            await asyncio.to_thread(_check, body)
            task = asyncio.create_task(self._keep(worker, ref, body))
        except BaseException:
            self._here -= 1
            raise
        self._making.add(task)
        task.add_done_callback(self._done)
        return Response(status_code=202)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._here -= 1
        self._making.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("a picture was not kept: %s: %s", type(error).__name__, error)

    async def _keep(self, worker: str, ref: Ref, body: bytes) -> None:
        for name, picture in await asyncio.to_thread(smaller, body):
            digest = hashlib.sha256(picture).hexdigest()
            await self._gate.farm.blobs.receive(_pieces(picture), digest, len(picture))
            file = OutputFile(name=name, size=len(picture), digest=digest, media_type="image/jpeg", stored=True)
            await self._gate.ask(RecordOutput(*ref, worker, file))


def _check_length(length: str | None) -> None:
    if length is None or not length.isdecimal() or int(length) == 0:
        raise Fault(411, "say how large the picture is: Content-Length is missing")
    if int(length) > MAX_OUTPUT_BYTES:
        raise Fault(413, f"{length} bytes are more than the {MAX_OUTPUT_BYTES} allowed")


def _check(body: bytes) -> None:
    """Raise Fault 415 for what is no picture. It is not decoded yet."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(body), formats=[*_FORMATS.values()]) as it:
            width, height = it.size
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError):
        raise Fault(415, "these bytes are no JPEG and no PNG") from None
    if width * height > MOST_PIXELS:
        raise Fault(415, f"{width} x {height} pixels are more than can be made smaller")


def smaller(body: bytes) -> list[tuple[str, bytes]]:
    """The picture in *body* in each of the sizes, as JPEG; none becomes larger than it was."""
    made = []
    with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(body), formats=[*_FORMATS.values()]) as whole:
        whole.draft("RGB", SIZES[-1][1])
        picture = whole.convert("RGB")
    for name, size in reversed(SIZES):
        picture.thumbnail(size, Image.Resampling.LANCZOS)
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=85)
        made.append((name, out.getvalue()))
    return made[::-1]


async def _pieces(picture: bytes) -> AsyncIterator[bytes]:
    yield picture
