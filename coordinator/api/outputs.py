"""Copies of output files: agents put them here, people look at them.

An upload is refused before its bytes are read when it cannot be accepted. What is stored is never run or interpreted
here, and browsers are told not to either.
"""

import asyncio
import base64
import binascii
import errno
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Header, Path, Request
from fastapi.responses import FileResponse
from starlette.requests import ClientDisconnect

from coordinator.api.blobs import DigestError
from coordinator.api.farm import Farm, FarmHere
from coordinator.api.parameters import AttemptNumber, Id
from coordinator.api.problems import ProblemError
from coordinator.operations.requests import RecordOutput
from schemas.ids import WORKER_ID_PATTERN
from schemas.job import inside
from schemas.task import OutputFile
from schemas.views import OutputView

MAX_OUTPUT_BYTES: Final = 25 * 1024 * 1024
_IDLE_S: Final = 60.0
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_MEDIA_TYPE: Final = re.compile(r"[\w.+-]+/[\w.+-]+(?:; ?[\w.+-]+=[\w.+-]+)*", re.ASCII)

router = APIRouter(prefix="/tasks/{task}/attempts/{attempt}/outputs", tags=["outputs"])

Name = Annotated[str, Path(min_length=1, max_length=400)]
WorkerHeader = Annotated[str, Header(alias="X-Farmhand-Worker", pattern=WORKER_ID_PATTERN)]


@router.put("/{name:path}", status_code=201)
async def put(
    request: Request,
    farm: FarmHere,
    task: Id,
    attempt: AttemptNumber,
    name: Name,
    worker: WorkerHeader,
    digest: Annotated[str | None, Header()] = None,
) -> OutputFile:
    """Store the body as this output: at most 25 MiB, its length and `Digest: sha-256=<base64>` announced."""
    size, sha256 = _announced(request, digest)
    try:
        inside(name)
    except ValueError as error:
        raise ProblemError(422, str(error), field="name") from None
    if not name.isprintable():
        raise ProblemError(422, "the name holds a character that cannot be shown", field="name")
    owner = await farm.views.attempt_worker(task, attempt)
    if owner != worker:
        raise ProblemError(409, f"attempt {attempt} of task {task} belongs to worker {owner}", kind="conflict")
    media_type = request.headers.get("content-type")
    file = OutputFile(
        name=name, size=size, digest=sha256, media_type=media_type[:200] if media_type else None, stored=True
    )
    async with farm.uploads:
        await _store(farm, request, file)
    await farm.ask(RecordOutput(task, attempt, worker, file))
    return file


@router.get("/{name:path}", response_class=FileResponse)
async def get(farm: FarmHere, task: Id, attempt: AttemptNumber, name: Name) -> FileResponse:
    """The stored copy of an output."""
    return copy_of(farm, await farm.views.output(task, attempt, name))


def copy_of(farm: Farm, output: OutputView, headers: Mapping[str, str] | None = None) -> FileResponse:
    """The stored copy of *output*, in a way that no browser runs it."""
    name = output.name
    if not output.stored:
        place = f"it lies at {output.location}" if output.location else "it lies in the attempt's directory only"
        raise ProblemError(404, f"the coordinator holds no copy of {name!r}; {place}", kind="not-found")
    path = farm.blobs.path(output.digest)
    if not path.is_file():
        raise ProblemError(404, f"the coordinator's copy of {name!r} is gone; upload it again", kind="not-found")
    known = output.media_type and _MEDIA_TYPE.fullmatch(output.media_type)
    return FileResponse(
        path,
        media_type=output.media_type if known else "application/octet-stream",
        filename=PurePosixPath(name).name,
        content_disposition_type="inline",
        headers={
            "ETag": f'"{output.digest}"',
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "sandbox",
            "Cache-Control": "private, no-cache",
            **(headers or {}),
        },
    )


def _announced(request: Request, digest: str | None) -> tuple[int, str]:
    """The size and the sha256 (hex) that the headers promise."""
    length = request.headers.get("content-length")
    if length is None:
        raise ProblemError(411, "say how long the file is: Content-Length is missing")
    if not length.isdecimal() or int(length) > MAX_OUTPUT_BYTES:
        raise ProblemError(
            413, f"{length} bytes are more than the {MAX_OUTPUT_BYTES} allowed; report the file by its location instead"
        )
    for part in (digest or "").split(","):
        algorithm, _, value = part.strip().partition("=")
        if algorithm.lower() == "sha-256":
            try:
                raw = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                raw = b""
            if len(raw) == 32:  # noqa: PLR2004 - the bytes of a sha256
                return int(length), raw.hex()
    raise ProblemError(400, "the header Digest: sha-256=<base64 of the file's sha256> is missing or malformed")


async def _store(farm: Farm, request: Request, file: OutputFile) -> None:
    try:
        await farm.blobs.receive(_pieces(request), file.digest, file.size)
    except DigestError as error:
        raise ProblemError(400, str(error), kind="digest") from None
    except (TimeoutError, ClientDisconnect):
        raise ProblemError(408, "the file did not come completely: upload it again") from None
    except OSError as error:
        structlog.get_logger(__name__).error("an output cannot be stored", error=str(error))
        if error.errno in _FULL:
            raise ProblemError(507, "the coordinator's disk is full: free space, then upload again") from None
        raise ProblemError(503, "the coordinator cannot store outputs: see its log, then upload again") from None


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream()
    size = 0
    while True:
        async with asyncio.timeout(_IDLE_S):
            piece = await anext(stream, None)
        if piece is None:
            return
        size += len(piece)
        if size > MAX_OUTPUT_BYTES:
            raise DigestError("more bytes came than were announced")
        yield piece
