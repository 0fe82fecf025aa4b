"""Who asks for work: an agent that asks does not say who it is.

It is the worker that has registered or reported under this login. An agent that logs in anew (its token has grown old,
or was refused once) says who it is with its next report only, within half a minute. Until then it is known by where it
calls from: it is the one worker that is free, of those which the same keys brought here from the same machine before.
"""

from collections.abc import Sequence
from typing import Final

from coordinator.gateways.clearml.envelope import NOT_REGISTERED, refused
from coordinator.gateways.clearml.translate import PROTOCOL, Caller
from coordinator.gateways.kit import Gate, Registered

_PLACE: Final = ("user", "hostname", "address")


class Asking:
    """Finds it out."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def who(self, caller: Caller) -> str | None:
        """Which worker it is; None: one of several, its next report will tell. Raises Fault 400/1004: it is none."""
        if caller.session:
            known = await self._gate.holdings.of_session(PROTOCOL, caller.session)
            if known is not None:
                return known
            if likely := of_place(await self._gate.holdings.roster(PROTOCOL), caller):
                free = [one for one in likely if one.held is None]
                return free[0].worker if len(free) == 1 else None
        raise refused(NOT_REGISTERED, "register a worker, or report as one, with this token first")


def of_place(roster: Sequence[Registered], caller: Caller) -> list[Registered]:
    """The workers that are here and may be *caller* after another login: of its keys, machine and address."""
    place = {"user": caller.name, "hostname": caller.host, "address": caller.address}
    return [
        one
        for one in roster
        if caller.host
        and one.present
        and {name: one.platform.get(name) for name in _PLACE} == place
        and "" < one.platform.get("session", "") < caller.session
    ]
