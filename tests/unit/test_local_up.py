"""What `farmhand up` does about a part that has ended."""

from coordinator.local.up import _keep_part
from worker_agent.machine import EXIT_OK, EXIT_RESTART


class Ending:
    """A part that ends with these codes, one after the other."""

    name = "agent-1"

    def __init__(self, *codes: int) -> None:
        self._codes = list(codes)
        self.exit_code: int | None = None
        self.starts = 0

    async def ended(self) -> None:
        self.exit_code = self._codes.pop(0)

    def start(self) -> None:
        self.starts += 1


async def test_an_agent_that_was_asked_to_restart_is_started_at_once_and_one_asked_to_stop_stays_away() -> None:
    part, said = Ending(EXIT_RESTART, EXIT_RESTART, EXIT_OK), list[str]()

    await _keep_part(part, said.append)  # type: ignore[arg-type]

    assert part.starts == 2
    assert said == [
        "agent-1 is started again",
        "agent-1 is started again",
        "agent-1 has left, as it was asked to; it stays away until the next start",
    ]
