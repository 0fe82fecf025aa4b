"""Copies files and moves directories as people expect of it: nothing is ever overwritten silently, and a command that
runs again, because its first attempt was lost, finds out how far that one came.

This file is run by itself and imports nothing but the standard library. Its words on standard output are those of the
line protocol (docs/runners.md); a refusal is one line `refused: WHY` and exit code 1.

    files_child.py copy-file TASK ATTEMPT SOURCE DESTINATION keep|overwrite
    files_child.py move-directory TASK ATTEMPT SOURCE DESTINATION
    files_child.py make-directory PATH

A copy is written beside its destination under another name, and gets its name when it is complete. A move leaves a
small file `.NAME.farmhand-moved` beside its destination that says which task made it, and of what: by that a second
attempt knows its own work.
"""

import contextlib
import errno
import json
import os
import shutil
import signal
import stat
import sys
from pathlib import Path
from typing import Any, BinaryIO

BLOCK_BYTES = 4 * 1024 * 1024


class RefusedError(Exception):
    """The command is refused: the message says what is wrong and what to do."""


class Progress:
    """Says how many of *total* bytes are done."""

    def __init__(self, total: int) -> None:
        self.done, self.total = 0, max(total, 1)

    def add(self, size: int) -> None:
        """So many more."""
        self.done += size
        _say(f"::progress {min(self.done, self.total)}/{self.total}")


# --- copy-file -------------------------------------------------------------------------------------------------


def copy_file(task: str, attempt: int, source: Path, destination: Path, *, overwrite: bool = False) -> str:
    """Copy one file. What is at the destination already, and is the same, is left as it is."""
    with _open_source(source) as origin:
        if destination.is_dir():
            raise RefusedError(f"{destination} is a directory: say the name of the file in it")
        if os.path.lexists(destination) and not overwrite:
            if _same(origin, destination):
                return f"{destination} is there already and is the same"
            raise RefusedError(f"{destination} is there already and is not the same: remove it, or set overwrite")
        _make(destination.parent)
        for earlier in range(1, attempt):
            _partial(destination, task, earlier).unlink(missing_ok=True)
        partial = _partial(destination, task, attempt)
        try:
            size = _copy(origin.fileno(), partial, Progress(os.fstat(origin.fileno()).st_size))
            _name(partial, destination, overwrite=overwrite)
        finally:
            partial.unlink(missing_ok=True)
    _sync(destination.parent)
    return f"{size} bytes copied to {destination}"


def _open_source(source: Path) -> BinaryIO:
    try:
        if not stat.S_ISREG(source.stat().st_mode):
            raise RefusedError(f"{source} is not a file; move-directory is for directories")
    except FileNotFoundError:
        raise RefusedError(f"there is no file {source}") from None
    return source.open("rb", buffering=0)


def _copy(origin: int, partial: Path, progress: Progress) -> int:
    """Its bytes, its mode and its times, safe on the disk."""
    about = os.fstat(origin)
    target = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        size = 0
        while block := os.read(origin, BLOCK_BYTES):
            view = memoryview(block)
            while view:
                view = view[os.write(target, view) :]
            size += len(block)
            progress.add(len(block))
        if size != about.st_size or os.fstat(origin).st_mtime_ns != about.st_mtime_ns:
            raise RefusedError("the source has changed while it was copied: run it again when nobody writes to it")
        os.fchmod(target, stat.S_IMODE(about.st_mode) & 0o777)
        os.utime(target, ns=(about.st_atime_ns, about.st_mtime_ns))
        os.fsync(target)
    finally:
        os.close(target)
    return size


def _name(partial: Path, destination: Path, *, overwrite: bool) -> None:
    """Give the complete copy its name; without *overwrite* only when nothing has that name."""
    if overwrite:
        partial.replace(destination)
        return
    with contextlib.suppress(OSError):
        # A file system without links fails here: then look, and rename.
        destination.hardlink_to(partial)
        return
    if os.path.lexists(destination):
        raise RefusedError(f"{destination} has come into being meanwhile")
    partial.rename(destination)


def _same(origin: BinaryIO, destination: Path) -> bool:
    if not destination.is_file() or destination.stat().st_size != os.fstat(origin.fileno()).st_size:
        return False
    with destination.open("rb") as file:
        while block := origin.read(BLOCK_BYTES):
            if file.read(len(block)) != block:
                return False
    return True


# --- move-directory --------------------------------------------------------------------------------------------


def move_directory(task: str, attempt: int, source: Path, destination: Path) -> str:
    """Move a directory; over file systems by copying all of it before any of it is deleted."""
    marker = destination.with_name(f".{destination.name}.farmhand-moved")
    if os.path.lexists(destination):
        return _finish_move(task, source, destination, marker)
    if source.is_symlink() or not source.is_dir():
        raise RefusedError(f"there is no directory {source}")
    if destination.resolve().is_relative_to(source.resolve()):
        raise RefusedError(f"{destination} lies in {source} itself")
    _make(destination.parent)
    about = {"task": task, "source": str(source), "source_inode": source.stat().st_ino}
    _mark(marker, about | {"inode": about["source_inode"]})
    try:
        source.rename(destination)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    else:
        return f"moved to {destination}"
    for earlier in range(1, attempt):
        shutil.rmtree(_partial(destination, task, earlier), ignore_errors=True)
    partial = _partial(destination, task, attempt)
    try:
        _copy_tree(source, partial)
        _check_copied(source, partial)
        _mark(marker, about | {"inode": partial.stat().st_ino})
        partial.rename(destination)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _sync(destination.parent)
    shutil.rmtree(source)
    return f"copied to {destination}, which is on another file system, and deleted where it was"


def _finish_move(task: str, source: Path, destination: Path, marker: Path) -> str:
    """Something is at the destination: our own work of an earlier attempt, or nothing to touch."""
    said = _marked(marker)
    if (said.get("task"), said.get("source"), said.get("inode")) != (task, str(source), destination.lstat().st_ino):
        raise RefusedError(f"{destination} is there already: move it away, or choose another name")
    if os.path.lexists(source):
        if source.lstat().st_ino != said.get("source_inode"):
            raise RefusedError(f"moved before, but there is a new {source}: look what that is")
        _check_copied(source, destination)
        shutil.rmtree(source)
    return f"moved to {destination} by an earlier attempt"


def _copy_tree(source: Path, partial: Path) -> None:
    """All of *source*: files, directories and symbolic links, as they are."""
    listing = _listing(source)
    progress = Progress(sum(about.st_size for about in listing.values() if stat.S_ISREG(about.st_mode)))
    for name, about in listing.items():
        if stat.S_ISDIR(about.st_mode):
            (partial / name).mkdir(mode=0o700)
        elif stat.S_ISLNK(about.st_mode):
            (partial / name).symlink_to((source / name).readlink())
        else:
            with (source / name).open("rb", buffering=0) as origin:
                _copy(origin.fileno(), partial / name, progress)
    for name, about in reversed(listing.items()):
        if stat.S_ISDIR(about.st_mode):
            os.utime(partial / name, ns=(about.st_atime_ns, about.st_mtime_ns))
            (partial / name).chmod(stat.S_IMODE(about.st_mode))


def _check_copied(source: Path, copy: Path) -> None:
    """Before *source* is deleted: all that is in it now must be in *copy*."""
    there = {name: _mark_of(about) for name, about in _listing(copy).items()}
    for name, about in _listing(source).items():
        if there.get(name) != _mark_of(about):
            raise RefusedError(
                f"{source / name} has changed since it was copied, so nothing is deleted: nobody may write there"
            )


def _mark_of(about: os.stat_result) -> tuple[int, ...]:
    kind = stat.S_IFMT(about.st_mode)
    return (kind, about.st_size, about.st_mtime_ns) if kind == stat.S_IFREG else (kind,)


def _listing(source: Path) -> dict[str, os.stat_result]:
    """Everything in *source* by its path there, a directory before what is in it."""
    found = {"": source.lstat()}
    for directory, directories, files in os.walk(source, onerror=_raise):
        for name in (*directories, *files):
            path = Path(directory, name)
            about = path.lstat()
            if not any(kind(about.st_mode) for kind in (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK)):
                raise RefusedError(f"{path} is neither a file nor a directory nor a link: it cannot be moved")
            found[str(path.relative_to(source))] = about
    return found


def _mark(marker: Path, words: dict[str, object]) -> None:
    with marker.open("w", encoding="utf-8") as file:
        json.dump(words, file)
        file.flush()
        os.fsync(file.fileno())


def _marked(marker: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        said = json.loads(marker.read_text(encoding="utf-8"))
        if isinstance(said, dict):
            return said
    return {}


# --- make-directory and the parts ------------------------------------------------------------------------------


def make_directory(path: Path) -> str:
    """Make a directory and those above it; one that is there already is fine."""
    _make(path)
    return f"{path} is a directory"


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise RefusedError(f"{path} cannot be a directory: there is a file") from None


def _partial(destination: Path, task: str, attempt: int) -> Path:
    return destination.with_name(f".{destination.name[:100]}.farmhand-{task}-{attempt}")


def _sync(directory: Path) -> None:
    """Some network file systems cannot; the rename is theirs to keep."""
    descriptor = os.open(directory, os.O_RDONLY)
    with contextlib.suppress(OSError):
        os.fsync(descriptor)
    os.close(descriptor)


def _raise(error: OSError) -> None:
    raise error


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def _run(command: str, words: list[str]) -> str:
    if command == "make-directory":
        return make_directory(Path(words[0]))
    task, attempt, source, destination = words[0], int(words[1]), *(Path(os.path.normpath(word)) for word in words[2:4])
    if command == "copy-file":
        return copy_file(task, attempt, source, destination, overwrite=words[4] == "overwrite")
    return move_directory(task, attempt, source, destination)


def main() -> int:
    """Do it; the exit code is 0 when it is done."""
    # SIGTERM as an exception, so that half a copy is taken away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        _say(_run(sys.argv[1], sys.argv[2:]))
    except RefusedError as error:
        _say(f"refused: {error}")
        return 1
    except OSError as error:
        _say(f"refused: {error.strerror}: {error.filename}" if error.filename else f"refused: {error}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
