"""Of which groups to look at how many ready tasks, before any is loaded: the cost of an assignment depends on these.

What is paused, canceled or at a limit is passed over, whatever its size, and the plan says why.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from coordinator.domain.budget import Budgets, Key
from coordinator.domain.matching import MOST_PLACED, Group, Offer, withheld
from coordinator.domain.why import Found

#: As many groups of equal job priority are compared, at most (oldest jobs first).
MOST_GROUPS: Final = 200


@dataclass(frozen=True, slots=True)
class Plan:
    """Of which groups to look at how many tasks (`looks`), and why none at all of others (`closed`)."""

    looks: dict[int, int]
    closed: dict[int, Found]


def plan(
    groups: Iterable[Group],
    offered: Sequence[Offer],
    budgets: Budgets | None = None,
    *,
    fair: bool = False,
    most: int = MOST_PLACED,
) -> Plan:
    """What to look at so that *offered* can be filled in the right order.

    Per class: whole bands of equal job priority until they hold as many tasks as could be placed. Tasks whose budget
    could run out meanwhile, or that some worker is blocked for, are looked at and not counted on. With *fair*, a band's
    submitters take turns.
    """
    budgets = budgets or Budgets()
    room = _room(offered, most)
    found = Plan({}, {})
    by_class: dict[int, list[Group]] = {}
    for group in groups:
        why = next(withheld(group, budgets), None)
        if why is not None:
            found.closed[group.id] = why
        elif group.ready > 0 and group.class_id in room and _is_open(group, offered):
            by_class.setdefault(group.class_id, []).append(group)
    lasting = _Lasting(budgets, sum(offer.free.slots for offer in offered), by_class.values())
    for class_id, candidates in by_class.items():
        waiting, band = 0, None
        for group in _in_turn(candidates, fair=fair)[:MOST_GROUPS]:
            if waiting >= room[class_id] and group.job_priority != band:
                break
            band = group.job_priority
            left = budgets.room(group.claims)
            look = min(group.ready, room[class_id], room[class_id] if left is None else left)
            found.looks[group.id] = look
            waiting += look if lasting.whatever(group) and not group.blocked else 0
    return found


def _is_open(group: Group, offered: Sequence[Offer]) -> bool:
    """Whether any of those offered may have tasks of the group."""
    return not group.blocked or any(offer.worker.id not in group.blocked for offer in offered)


def _room(offered: Sequence[Offer], most: int) -> dict[int, int]:
    """How many tasks of each class would fit, were they alone."""
    room: dict[int, int] = {}
    for offer in offered:
        for need in (need for needs in offer.by_queue for need in needs):
            room[need.id] = min(most, room.get(need.id, 0) + offer.free.fits(need))
    return room


class _Lasting:
    """Which budgets cannot run out in one pass, whatever is placed."""

    def __init__(self, budgets: Budgets, slots: int, groups: Iterable[Collection[Group]]) -> None:
        most: dict[Key, int] = {}
        for group in (group for some in groups for group in some if group.claims):
            for key, count in group.claims:
                most[key] = max(most.get(key, 0), count)
        self._scarce = {key for key, count in most.items() if budgets.left(key) < count * slots}

    def whatever(self, group: Group) -> bool:
        """Whether the tasks of *group* can be had whatever else is placed."""
        return not group.claims or not any(key in self._scarce for key, _ in group.claims)


def _in_turn(groups: list[Group], *, fair: bool) -> list[Group]:
    """The best first; when *fair*, the jobs of equal priority in turns of their submitters, so that none is cut off."""
    ordered = sorted(groups, key=lambda group: (-group.job_priority, group.id))
    if not fair or len(ordered) <= MOST_GROUPS:
        return ordered
    turns: dict[tuple[int, str], int] = {}
    keys = {}
    for group in ordered:
        who = (group.job_priority, group.submitter)
        turns[who] = turns.get(who, 0) + 1
        keys[group.id] = (-group.job_priority, turns[who], group.id)
    return sorted(ordered, key=lambda group: keys[group.id])
