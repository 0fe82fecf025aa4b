"""One consumer process of the peer that `bench` measures: a no-op entry point of pgqueuer."""

import asyncio
import sys

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.models import Job


async def main(database_url: str, batch: int) -> None:
    """Consume until ended."""
    connection = await asyncpg.connect(database_url)
    queue = PgQueuer.from_asyncpg_connection(connection)

    @queue.entrypoint("echo")
    async def echo(_: Job) -> None:
        """Nothing to do."""

    await queue.run(batch_size=batch)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
