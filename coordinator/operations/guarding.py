"""What one transaction knows of the guards before a loss, and what of them it changes. `judging` decides."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from coordinator.domain import guards
from coordinator.domain.guards import Freeze, Guard, Zone

#: The name under which the farm as a whole is frozen: no zone can have it.
FARM: Final = ""


@dataclass
class Guarding:
    """The rows, as loaded, kept in step with what the transaction does; and what of them is to be written."""

    #: Since when every coordinator that counts hears the workers.
    listening_since: datetime
    #: Name, and when it last consumed from that of its queues which it has waited for longest.
    coordinators: list[tuple[str, datetime]] = field(default_factory=list)
    zones: dict[str, Zone] = field(default_factory=dict)
    freezes: dict[str, Freeze] = field(default_factory=dict)
    #: Freezes that changed, by zone: gone, or to be written.
    dirty: set[str] = field(default_factory=set)
    #: Connections of coordinators that have closed, by the broker's word.
    closed: set[str] = field(default_factory=set)

    def zone(self, name: str) -> Zone:
        """The counts of a zone."""
        return self.zones.setdefault(name, Zone())

    def turned(self, name: str) -> None:
        """One of this zone has just become suspect."""
        zone = self.zone(name)
        zone.suspects += 1
        zone.turned += 1

    def allows(self, name: str, now: datetime, lost_after_s: float) -> bool:
        """Whether one more of this zone may be lost."""
        return FARM not in self.freezes and guards.allowed(self.freezes.get(name), now, lost_after_s) != 0

    def lost(self, name: str, now: datetime, lost_after_s: float) -> None:
        """One of this zone was given up."""
        self.zone(name).suspects -= 1
        freeze = self.freezes.get(name)
        if freeze is not None and freeze.guard is Guard.LIMITED:
            guards.spend(freeze, now, lost_after_s)
            self.dirty.add(name)
