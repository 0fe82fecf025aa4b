"""The guards before a loss: their table, their numbers, and walks of a zone whose workers fall silent and come back."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from coordinator.domain import guards
from coordinator.domain.guards import Freeze, Guard, Sign, Zone
from coordinator.domain.outcome import Refused

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOST_AFTER_S = 30.0


def a_freeze(guard: Guard = Guard.FROZEN, **more: object) -> Freeze:
    """A freeze of 40 workers, 20 of them suspect, since just now."""
    values: dict[str, object] = {"workers": 40, "suspects": 20, "counted_at": NOW} | more
    return Freeze("default", guard, NOW, **values)  # type: ignore[arg-type]


def test_two_are_never_many_and_three_are_when_they_are_more_than_a_fifth() -> None:
    assert not guards.is_many(2, 2)
    assert guards.is_many(3, 3)
    assert guards.is_many(3, 14)
    assert not guards.is_many(3, 15)
    assert not guards.is_many(20, 100)
    assert guards.is_many(21, 100)


def test_workers_that_turned_long_ago_freeze_nothing() -> None:
    assert guards.signs(Zone(workers=10, suspects=5, turned=2), None, NOW, LOST_AFTER_S) is None
    assert guards.signs(Zone(workers=10, suspects=5, turned=3), None, NOW, LOST_AFTER_S) is Sign.MANY


def test_a_frozen_zone_loses_nobody_and_is_limited_after_five_times_lost_after() -> None:
    zone = Zone(workers=40, suspects=20)
    almost, then = NOW + timedelta(seconds=149.9), NOW + timedelta(seconds=150)
    assert guards.signs(zone, a_freeze(), almost, LOST_AFTER_S) is None
    assert guards.allowed(a_freeze(), almost, LOST_AFTER_S) == 0
    assert guards.signs(zone, a_freeze(), then, LOST_AFTER_S) is Sign.WAITED


def test_a_limited_zone_loses_a_tenth_in_each_lost_after_and_one_at_least() -> None:
    limited = a_freeze(Guard.LIMITED)
    spent = 0
    while guards.allowed(limited, NOW, LOST_AFTER_S):
        guards.spend(limited, NOW, LOST_AFTER_S)
        spent += 1
    assert spent == 4
    later = NOW + timedelta(seconds=LOST_AFTER_S)
    assert guards.allowed(limited, later, LOST_AFTER_S) == 4
    guards.spend(limited, later, LOST_AFTER_S)
    assert guards.allowed(limited, later, LOST_AFTER_S) == 3
    assert guards.allowed(a_freeze(Guard.LIMITED, workers=3), NOW, LOST_AFTER_S) == 1


def test_a_coordinator_is_deaf_after_ten_seconds_and_not_waited_for_after_forty_five() -> None:
    ages = {"well": 9, "deaf": 11, "still": 44, "gone": 46}
    coordinators = [(name, NOW - timedelta(seconds=age)) for name, age in ages.items()]
    assert guards.deaf(coordinators, NOW) == ["deaf", "still"]


@given(st.lists(st.sampled_from(list(Sign)), max_size=30))
def test_a_zone_is_opened_by_operators_only_and_limited_only_after_waiting(signs: list[Sign]) -> None:
    state = Guard.CALM
    for sign in signs:
        after = guards.decide(state, sign)
        if isinstance(after, Refused):
            continue
        if after is Guard.OPENED:
            assert sign is Sign.OPENED
        if after is Guard.LIMITED:
            assert (state, sign) == (Guard.FROZEN, Sign.WAITED)
        if after is Guard.FROZEN:
            assert (state, sign) == (Guard.CALM, Sign.MANY)
        state = after


class ZoneWalk(RuleBasedStateMachine):
    """Workers of one zone turn suspect, come back and are due at random; losses go through the guard."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.online = 12
        self.suspect: list[datetime] = []
        self.lost: list[datetime] = []
        self.freeze: Freeze | None = None
        self.limited_losses: list[datetime] = []
        self.opened = False

    def zone(self) -> Zone:
        recent = [at for at in (*self.suspect, *self.lost) if self.now - at < guards.WINDOW]
        gone = sum(self.now - at < guards.WINDOW for at in self.lost)
        return Zone(self.online + len(self.suspect) + gone, len(self.suspect), len(recent))

    def look(self) -> None:
        sign = guards.signs(self.zone(), self.freeze, self.now, LOST_AFTER_S)
        if sign is not None:
            self.tell(sign)

    def tell(self, sign: Sign) -> None:
        guard = guards.decide(self.freeze.guard if self.freeze else Guard.CALM, sign)
        if isinstance(guard, Refused):
            return
        zone = self.zone()
        if guard is Guard.CALM:
            self.freeze = None
        elif self.freeze is None:
            self.freeze = Freeze("", guard, self.now, zone.workers, zone.suspects, self.now)
        else:
            self.freeze.guard, self.freeze.counted_at, self.freeze.lost = guard, self.now, 0

    @rule(count=st.integers(1, 6))
    def turn(self, count: int) -> None:
        """So many fall silent together."""
        count = min(count, self.online)
        self.online -= count
        self.suspect += [self.now] * count
        self.look()

    @rule(count=st.integers(1, 6))
    def come_back(self, count: int) -> None:
        """So many are heard again."""
        count = min(count, len(self.suspect))
        del self.suspect[:count]
        self.online += count
        self.look()

    @rule(seconds=st.sampled_from([1, 5, 10, 30, 60]))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)
        self.look()

    @rule()
    def thaw(self) -> None:
        """An operator opens it."""
        self.tell(Sign.OPENED)

    @rule()
    def lose_who_is_due(self) -> None:
        """All that are suspect are due: as many are lost as the guard allows."""
        self.look()
        while self.suspect and guards.allowed(self.freeze, self.now, LOST_AFTER_S) != 0:
            assert self.freeze is None or self.freeze.guard is not Guard.FROZEN
            self.lost.append(self.suspect.pop(0))
            if self.freeze is not None and self.freeze.guard is Guard.LIMITED:
                guards.spend(self.freeze, self.now, LOST_AFTER_S)
                self.limited_losses.append(self.now)

    @invariant()
    def a_limited_zone_keeps_to_its_share(self) -> None:
        """In no stretch of `lost_after` more than a tenth, or one."""
        newest = self.limited_losses[-1] if self.limited_losses else None
        if newest is not None and self.freeze is not None and self.freeze.guard is Guard.LIMITED:
            most = max(1, int(guards.LIMITED_SHARE * self.freeze.workers))
            assert self.freeze.lost <= most

    @invariant()
    def whoever_is_frozen_has_suspects_after_a_look(self) -> None:
        """A freeze without suspects is over at the next look."""
        self.look()
        assert self.freeze is None or self.suspect

    @precondition(lambda self: self.freeze is not None)
    @rule()
    def wait_for_long(self) -> None:
        """Whatever happens, nobody stays frozen for longer than five times `lost_after`."""
        self.now += timedelta(seconds=5 * LOST_AFTER_S)
        self.look()
        assert guards.allowed(self.freeze, self.now, LOST_AFTER_S) != 0


TestZoneWalk = ZoneWalk.TestCase
