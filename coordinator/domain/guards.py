"""What keeps a farm from giving up workers that are well, when it is the road or we that are ill.

Two guards stand before every loss. Nobody is lost while a coordinator is *deaf*: registered, and without any word from
one of its queues for a while, canaries included; it may be holding the heartbeats of others. And when many workers of
one zone fall silent together, that zone is *frozen*:

    calm -> frozen -> calm, or after a while -> limited -> calm; an operator opens it

A limited zone loses a tenth of its workers at most in each `lost_after`. An opened one loses whoever is due.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from coordinator.domain.outcome import Refused

#: A coordinator that has consumed nothing for so long is deaf; one that has not for longer is not waited for: by then
#: the broker has taken back what it held.
DEAF_AFTER: Final = timedelta(seconds=10)
GIVEN_UP_AFTER: Final = timedelta(seconds=45)
#: So many workers that turn suspect within the window, and such a share of their zone, are no accident.
WINDOW: Final = timedelta(seconds=10)
MANY: Final = 3
SHARE: Final = 0.2
#: A frozen zone waits for so many `lost_after`, and then loses such a share of its workers in each.
PATIENCE: Final = 5
LIMITED_SHARE: Final = 0.1


class Guard(StrEnum):
    """How a zone's losses are held back."""

    CALM = "calm"
    FROZEN = "frozen"
    LIMITED = "limited"
    OPENED = "opened"


class Sign(StrEnum):
    """What can happen to a zone's guard."""

    MANY = "many"  # too many turned suspect together
    FEWER = "fewer"  # not too many are suspect any more
    NONE = "none"  # nobody is
    WAITED = "waited"  # it was frozen for as long as anyone is
    OPENED = "opened"  # an operator says that they are gone indeed


_G, _S = Guard, Sign
TRANSITIONS: Final[Mapping[Guard, Mapping[Sign, Guard]]] = {
    _G.CALM: {_S.MANY: _G.FROZEN},
    _G.FROZEN: {_S.FEWER: _G.CALM, _S.NONE: _G.CALM, _S.WAITED: _G.LIMITED, _S.OPENED: _G.OPENED},
    _G.LIMITED: {_S.NONE: _G.CALM, _S.OPENED: _G.OPENED},
    _G.OPENED: {_S.FEWER: _G.CALM, _S.NONE: _G.CALM},
}


def decide(state: Guard, sign: Sign) -> Guard | Refused:
    """What *sign* makes of a guard."""
    return TRANSITIONS[state].get(sign) or Refused(state, sign)


@dataclass(slots=True)
class Zone:
    """Workers of a zone, counted: those that are here, or were until they turned suspect within the window; those that
    are suspect; and those that turned suspect within the window, lost ones among them."""

    workers: int = 0
    suspects: int = 0
    turned: int = 0


@dataclass(slots=True)
class Freeze:
    """A zone's guard that is not calm, since when, and how it stood then. `lost` were given up since `counted_at`."""

    zone: str
    guard: Guard
    since: datetime
    workers: int
    suspects: int
    counted_at: datetime
    lost: int = 0


def is_many(count: int, workers: int) -> bool:
    """Whether *count* of a zone's *workers* are no accident."""
    return count >= MANY and count > SHARE * workers


def signs(zone: Zone, freeze: Freeze | None, now: datetime, lost_after_s: float) -> Sign | None:
    """What is to be said to a zone's guard now."""
    many = is_many(max(zone.turned, zone.suspects), zone.workers)
    if freeze is None:
        return Sign.MANY if zone.suspects and is_many(zone.turned, zone.workers) else None
    if zone.suspects == 0:
        return Sign.NONE
    if freeze.guard is not Guard.LIMITED and not many:
        return Sign.FEWER
    if freeze.guard is Guard.FROZEN and now - freeze.since >= timedelta(seconds=PATIENCE * lost_after_s):
        return Sign.WAITED
    return None


def allowed(freeze: Freeze | None, now: datetime, lost_after_s: float) -> int | None:
    """How many more workers of a zone may be lost now; None: as many as are due."""
    if freeze is None or freeze.guard is Guard.OPENED:
        return None
    if freeze.guard is Guard.FROZEN:
        return 0
    most = max(1, int(LIMITED_SHARE * freeze.workers))
    return most if now - freeze.counted_at >= timedelta(seconds=lost_after_s) else max(0, most - freeze.lost)


def spend(freeze: Freeze, now: datetime, lost_after_s: float) -> None:
    """One more was lost while the zone is limited."""
    if now - freeze.counted_at >= timedelta(seconds=lost_after_s):
        freeze.counted_at, freeze.lost = now, 0
    freeze.lost += 1


def deaf(coordinators: Iterable[tuple[str, datetime]], now: datetime) -> list[str]:
    """Those of *coordinators* (name, last consumed at) that nobody may be lost for, in order."""
    return sorted(name for name, at in coordinators if DEAF_AFTER < now - at <= GIVEN_UP_AFTER)
