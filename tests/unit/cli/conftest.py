"""The command line in this process."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from coordinator.cli.program import run

Run = Callable[..., "Done"]


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


@pytest.fixture
def farmhand(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command against a place where no coordinator is."""
    monkeypatch.setenv("FARMHAND_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("FARMHAND_DEBUG", raising=False)

    def call(*words: str) -> Done:
        code = run(list(words))
        written = capsys.readouterr()
        return Done(code, written.out, written.err)

    return call
