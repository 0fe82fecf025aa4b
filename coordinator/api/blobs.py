"""Copies of output files, by digest: what has one digest is stored once.

A file comes into view only complete, verified and on disk (fsync, rename, fsync of the directory), so that a row that
names it never names a half. What an interrupted upload left is removed at the next start.
"""

import asyncio
import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import BinaryIO, Final

_PIECE: Final = 1024 * 1024
_STALE_S: Final = 3600
#: Files are kept in so many directories, by the first byte of their digest.
SHELVES: Final = 256
#: The row of a file that was put here so recently may still be on its way.
_FRESH_S: Final = 60


class DigestError(ValueError):
    """The bytes are not those that the digest promised (one line)."""


class Blobs:
    """Files by the sha256 (hex) of their content, below one directory."""

    def __init__(self, directory: Path) -> None:
        """Keep files below *directory*, which is made at the first upload."""
        self._directory = directory
        self._incoming = directory / "incoming"
        for left in self._incoming.glob("*"):
            with contextlib.suppress(OSError):
                if left.stat().st_mtime < time.time() - _STALE_S:
                    left.unlink()

    def path(self, digest: str) -> Path:
        """Where the file with this *digest* is, or would be."""
        return self._directory / digest[:2] / digest

    async def forget(self, digests: Collection[str]) -> None:
        """Remove the files with these digests that nobody has put here just now."""
        await asyncio.to_thread(self._forget, digests)

    async def settled(self, shelf: int) -> list[str]:
        """The digests of what is kept on a *shelf* (of SHELVES) and was put there an hour ago, or longer."""
        return await asyncio.to_thread(self._settled, f"{shelf:02x}")

    def _settled(self, shelf: str) -> list[str]:
        found: list[str] = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self._directory / shelf) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat().st_mtime < time.time() - _STALE_S:
                        found.append(entry.name)
        return found

    def _forget(self, digests: Collection[str]) -> None:
        for digest in digests:
            path = self.path(digest)
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - _FRESH_S:
                    path.unlink()

    async def receive(self, pieces: AsyncIterator[bytes], digest: str, size: int) -> None:
        """Store *pieces*, which must be *size* bytes of this *digest*.

        Raises DigestError when they are not, OSError when they cannot be stored; then nothing has changed.
        """
        draft = self._incoming / uuid.uuid4().hex
        file = await asyncio.to_thread(_open, draft)
        try:
            found = hashlib.sha256()
            gathered = bytearray()
            length = 0
            async for piece in pieces:
                length += len(piece)
                gathered += piece
                if len(gathered) >= _PIECE:
                    await asyncio.to_thread(_add, file, found, bytes(gathered))
                    gathered.clear()
            await asyncio.to_thread(_add, file, found, bytes(gathered))
            if length != size:
                raise DigestError(f"{length} bytes came, {size} were announced")
            if found.hexdigest() != digest:
                raise DigestError("the bytes do not have the digest in the Digest header: upload the file again")
            await asyncio.to_thread(_keep, file, draft, self.path(digest))
        finally:
            file.close()
            with contextlib.suppress(FileNotFoundError):
                draft.unlink()


def _open(draft: Path) -> BinaryIO:
    draft.parent.mkdir(parents=True, exist_ok=True)
    return draft.open("xb")


def _add(file: BinaryIO, found: "hashlib._Hash", piece: bytes) -> None:
    file.write(piece)
    found.update(piece)


def _keep(file: BinaryIO, draft: Path, final: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    final.parent.mkdir(exist_ok=True)
    draft.replace(final)
    for directory in (final.parent, final.parent.parent):
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
