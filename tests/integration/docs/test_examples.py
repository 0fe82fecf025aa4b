"""Each page about a rule shows one example: here it is run, on a farm with real agents."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import structlog

from coordinator.cli.program import run
from coordinator.local.ports import free_port
from tests.support import agents, examples
from tests.support.farm import running
from worker_agent import config

PAGES = sorted((Path(__file__).parents[3] / "docs" / "rules").glob("*.md"))


@pytest.fixture(autouse=True)
def logs_apart() -> Iterator[None]:
    """What agents and coordinator log is no part of what a command prints."""
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
async def test_the_example_of_a_page_does_what_it_shows(
    path: Path,
    database_url: str,
    amqp_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    page = examples.read(path)
    assert page.typed, f"{path.name} shows no example"
    for name, text in page.files.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o600)
    port = free_port()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FARMHAND_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("FARMHAND_ACTOR", "ana@desk")
    monkeypatch.setenv("COLUMNS", "160")
    async with AsyncExitStack() as stack:
        farm = await stack.enter_async_context(running(database_url, amqp_url, http_port=port, **page.settings))
        for number in range(1, page.agents + 1):
            home = tmp_path / f"node-{number}"
            fields = {
                "worker": home.name,
                "amqp_url": amqp_url,
                "coordinator_url": f"http://127.0.0.1:{port}",
                "slots": page.slots,
                "data_dir": home / "data",
                "output_root": tmp_path / "outputs",
                "publish_root": tmp_path / "published",
                **page.agent_settings,
            }
            await stack.enter_async_context(agents.running(config.load(None, fields)))
        await farm.until("SELECT count(*) = $1 FROM workers WHERE connection = 'online'", page.agents)
        kept: dict[str, str] = {}
        for typed in page.typed:
            capfd.readouterr()
            with monkeypatch.context() as environment:
                for name, value in typed.environment.items():
                    environment.setenv(name, kept[value[1:]] if value.startswith("$") else value)
                code = await asyncio.to_thread(run, typed.words)
            output, errors = capfd.readouterr()
            if typed.kept_as:
                kept[typed.kept_as], output = output.strip(), ""
            wrong = typed.differs(code, output, errors)
            assert wrong is None, wrong
