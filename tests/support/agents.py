"""Real agents inside the test's own loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from worker_agent.agent import Agent
from worker_agent.config import Settings
from worker_agent.journal import Journal


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Agent]:
    """An agent with *settings*; aborted at the end."""
    agent = Agent(settings, Journal(settings.data))
    life = asyncio.create_task(agent.run())
    try:
        yield agent
    finally:
        agent.abort(0)
        await life
