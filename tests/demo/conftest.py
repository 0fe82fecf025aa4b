"""A place for whole farms, and a watch over what they leave."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.leftovers import Watch, watching


@pytest.fixture
def watch() -> Iterator[Watch]:
    with watching() as watch:
        yield watch


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a short name (sockets must fit) for temporary files, data and pictures."""
    path = Path(tempfile.mkdtemp(prefix="fd-"))
    path.chmod(0o755)
    (path / "tmp").mkdir()
    yield path
    shutil.rmtree(path)
