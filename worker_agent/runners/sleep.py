"""`sleep`: waits. For trying out a farm."""

import asyncio

from worker_agent.runners.base import CommandError, Context, Parameters, refuse_unknown


class SleepRunner:
    """Parameters: `seconds`."""

    name = "sleep"

    async def run(self, parameters: Parameters, context: Context) -> int | None:
        """Wait so many seconds."""
        del context
        refuse_unknown(parameters, "seconds")
        seconds = parameters.get("seconds", 1)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
            raise CommandError("parameter 'seconds' must be a number, not below 0")
        await asyncio.sleep(seconds)
        return None
