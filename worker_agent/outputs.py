"""What an attempt has made: the manifest of its directory, copies sent to the coordinator, promotion to a known path.

An attempt's directory is never changed after its end. Promotion links (or copies) file by file to a temporary name
beside the target and renames it, so it can be repeated after a crash at any point; it walks by directory handles that
follow no symbolic link, so nothing outside the two roots is read or written.
"""

import asyncio
import base64
import contextlib
import errno
import fnmatch
import hashlib
import mimetypes
import os
import shutil
import stat
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import httpx

from schemas.job import inside
from schemas.task import OutputFile

MOST_FILES: Final = 200
MOST_UPLOAD_BYTES: Final = 25 * 1024 * 1024
#: Seconds before each try to upload a file.
UPLOAD_AGAIN_S: Final = (0, 1, 4)
NAME_LENGTH: Final = 400
_BLOCK_BYTES: Final = 1024 * 1024
_DIRECTORY: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_FILE: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class OutputError(Exception):
    """The outputs cannot be taken as they are; the message says what to change."""


def check_name(name: str) -> None:
    """Raise `OutputError` unless *name* is a relative path that can be sent and stored."""
    try:
        inside(name)
        name.encode()
    except UnicodeEncodeError:
        raise OutputError(f"the output {name!a} has a name that is not UTF-8: rename it") from None
    except ValueError:
        raise OutputError(f"the output {name!r} has a name that cannot be taken: rename it") from None
    if len(name) > NAME_LENGTH:
        raise OutputError(f"the output {name[:60]!r}... has a name of {len(name)} characters, more than {NAME_LENGTH}")


def manifest(directory: Path) -> list[OutputFile]:
    """Every regular file below *directory*, by name, with size and digest. Blocks; run it in a thread. Raises
    `OutputError`, or OSError."""
    names = sorted(_names(directory, ""))
    if len(names) > MOST_FILES:
        raise OutputError(f"more than {MOST_FILES} output files ({len(names)}): put them into an archive")
    return [describe(directory, name) for name in names]


def _names(directory: Path, prefix: str) -> Iterator[str]:
    """Symbolic links and special files are no outputs."""
    with os.scandir(directory) as entries:
        for entry in entries:
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _names(directory / entry.name, name + "/")
            elif entry.is_file(follow_symlinks=False):
                yield name


def describe(directory: Path, name: str) -> OutputFile:
    """The file *name* below *directory*. Raises `OutputError`, or OSError."""
    check_name(name)
    digest = hashlib.sha256()
    size = 0
    with _open_inside(directory, name) as descriptor:
        while block := os.read(descriptor, _BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    return OutputFile(name=name, size=size, digest=digest.hexdigest(), media_type=mimetypes.guess_type(name)[0])


def wanted(output: OutputFile, patterns: Sequence[str]) -> bool:
    """Whether a copy of *output* is to be sent to the coordinator."""
    return output.size <= MOST_UPLOAD_BYTES and any(fnmatch.fnmatchcase(output.name, pattern) for pattern in patterns)


async def upload(
    client: httpx.AsyncClient, ref: tuple[int, int], directory: Path, output: OutputFile, worker: str
) -> None:
    """Send one file. Raises `OutputError` when the coordinator does not take it."""
    path = "/".join(httpx.URL(path=part).raw_path.decode() for part in output.name.split("/"))
    url = f"api/v1/tasks/{ref[0]}/attempts/{ref[1]}/outputs/{path}"
    digest = base64.b64encode(bytes.fromhex(output.digest)).decode()
    headers = {
        "Digest": f"sha-256={digest}",
        "Content-Length": str(output.size),
        "Content-Type": output.media_type or "application/octet-stream",
        "X-Farmhand-Worker": worker,
    }
    problem = ""
    for pause_s in UPLOAD_AGAIN_S:
        await asyncio.sleep(pause_s)
        try:
            answer = await client.put(url, content=_blocks(directory, output.name), headers=headers)
        except (httpx.HTTPError, OSError) as error:
            problem = str(error) or type(error).__name__
            continue
        if answer.is_success:
            return
        problem = f"HTTP {answer.status_code} {answer.text[:200]}"
        if answer.is_client_error:
            break
    raise OutputError(f"the output {output.name!r} was not uploaded: {problem}")


async def _blocks(directory: Path, name: str) -> AsyncIterator[bytes]:
    with _open_inside(directory, name) as descriptor:
        while block := await asyncio.to_thread(os.read, descriptor, _BLOCK_BYTES):
            yield block


def promote(source: Path, root: Path, target: str, outputs: Sequence[OutputFile]) -> Path:
    """Put *outputs* of the directory *source* below *root*/*target*; the path. Blocks: run it in a thread.

    Raises `OutputError` for what repeating cannot mend, and OSError.
    """
    try:
        inside(target)
    except ValueError as error:
        raise OutputError(f"cannot promote: {error}") from None
    root.mkdir(parents=True, exist_ok=True)
    try:
        for output in outputs:
            check_name(output.name)
            with (
                _open_inside(source, output.name) as origin,
                _make_directory(root, PurePosixPath(target, output.name).parent) as shelf,
            ):
                if os.fstat(origin).st_size != output.size:
                    raise OutputError(f"the output {output.name!r} has changed since it was reported")
                _put(origin, shelf, PurePosixPath(output.name).name)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENOENT):
            raise OutputError(f"cannot promote to {root / target}: {error.strerror}: {error.filename}") from None
        raise
    return root / target


def _put(origin: int, shelf: int, name: str) -> None:
    temporary = f".{name[:100]}.{uuid.uuid4().hex[:12]}.farmhand"
    try:
        try:
            os.link(f"/proc/self/fd/{origin}", temporary, dst_dir_fd=shelf, follow_symlinks=True)
        except OSError:
            _copy(origin, shelf, temporary)
        os.replace(temporary, name, src_dir_fd=shelf, dst_dir_fd=shelf)
    finally:
        # Also when it worked: renaming one link to a file over another leaves both.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=shelf)


def _copy(origin: int, shelf: int, name: str) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=shelf)
    with os.fdopen(descriptor, "wb") as target, os.fdopen(os.dup(origin), "rb") as source:
        shutil.copyfileobj(source, target, _BLOCK_BYTES)
        target.flush()
        os.fsync(target.fileno())


@contextlib.contextmanager
def _open_inside(directory: Path, name: str) -> Iterator[int]:
    """The regular file *name* below *directory*, open, no symbolic link followed on the way."""
    *parents, last = PurePosixPath(name).parts
    with _walk(directory, parents, make=False) as parent:
        descriptor = os.open(last, _FILE, dir_fd=parent)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OutputError(f"the output {name!r} is not a regular file")
            yield descriptor
        finally:
            os.close(descriptor)


def _make_directory(root: Path, below: PurePosixPath) -> contextlib.AbstractContextManager[int]:
    return _walk(root, below.parts, make=True)


@contextlib.contextmanager
def _walk(root: Path, parts: Sequence[str], *, make: bool) -> Iterator[int]:
    descriptor = os.open(root, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        for part in parts:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=descriptor)
            below = os.open(part, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def discard(root: Path, directory: str) -> None:
    """Delete an attempt's *directory* below *root*, and its task's when it is empty then. Blocks; never raises."""
    with contextlib.suppress(OSError, ValueError, OutputError):
        inside(directory)
        parts = PurePosixPath(directory).parts
        with _walk(root, parts[:-1], make=False) as parent:
            # rmtree refuses to follow a symbolic link by itself.
            shutil.rmtree(parts[-1], ignore_errors=True, dir_fd=parent)
        if len(parts) > 1:
            root.joinpath(*parts[:-1]).rmdir()
