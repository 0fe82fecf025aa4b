"""The tokens of a farm on this machine: files in its directory that only its owner can read."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from coordinator.storage.first_tokens import keep
from schemas.roles import Role

AGENTS_TOKEN: Final = "agents-token"  # noqa: S105 - a file's name


async def kept_token(path: Path, database_url: str, name: str, role: Role, *more: str) -> str:
    """The token in *path*, or a new one when the database does not know that (any more); *more* are lines after it."""
    token = await keep(database_url, name, role, await asyncio.to_thread(_first_line, path), "farmhand up")
    await asyncio.to_thread(_write, path, (token, *more))
    return token


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except OSError:
        return ""


def _write(path: Path, lines: Sequence[str]) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write("\n".join((*lines, "")))
    draft.replace(path)
