"""A task is published once: what may have been before is looked for, and what was confirmed never goes again."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from coordinator.domain.attempt import AttemptState
from coordinator.domain.worker import Connection
from coordinator.gateways.celery import translate
from coordinator.gateways.celery.giving import Giving
from coordinator.operations.requests import UnavailableError
from schemas.task import Assign, Outcome, TaskStarted
from tests.gateways.celery.test_words import assigned

INBOX = "farmhand.celery.w1-host1.1a2b3c4d"
UUID = translate.uuid_of(translate.tag_of("farmhand"), 7, 2)


@dataclass
class Broker:
    """What it would say, and what was published. `known` None: the worker does not answer."""

    depth_is: tuple[int, int] | None = (0, 1)
    known: dict[str, Any] | None = None
    posts: list[str] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)
    refuses: bool = False
    state: AttemptState = AttemptState.ASSIGNED
    told: list[str] = field(default_factory=list)
    platform: dict[str, Any] = field(default_factory=lambda: {"inbox": INBOX})
    sends: int = 1

    async def depth(self, _queue: str) -> tuple[int, int] | None:
        return self.depth_is

    async def publish(self, post: Any) -> None:
        if self.refuses:
            raise UnavailableError("the other broker: no answer in time")
        self.posts.append(post.correlation_id)

    async def query(self, _what: str, _arguments: Any, _of: Any) -> dict[str, Any]:
        return {} if self.known is None else {"w1@host1": self.known}

    async def ask(self, request: Any) -> None:
        self.asked += request.events

    async def order(self, what: str, _arguments: Any, _to: Any) -> None:
        self.told.append(what)

    async def holders(self, _protocol: str, _worker: str = "") -> list[Any]:
        return await self.holds(_protocol)

    async def holds(self, _protocol: str, worker: str = "w1-host1") -> list[Any]:
        return [
            SimpleNamespace(
                worker=worker, foreign_id="w1@host1", connection=Connection.ONLINE, platform=self.platform,
                task=7, attempt=2, state=self.state, sends=self.sends,
            )
        ]  # fmt: skip

    def giving(self) -> Giving:
        """As a coordinator that has just begun."""
        gate: Any = SimpleNamespace(holdings=self, ask=self.ask)
        control: Any = SimpleNamespace(ask=self.query, tell=self.order)
        guest: Any = self
        return Giving(gate, guest, control, "", "farmhand")


async def tell(giving: Giving, broker: Broker, sends: int) -> int:
    """Tell the worker for the time that is *sends*; how often it was published by now."""
    broker.sends = sends
    await giving.give("w1-host1", [Assign(attempts=[assigned()]).model_dump_json().encode()])
    return len(broker.posts)


async def test_what_the_broker_has_confirmed_is_never_published_again() -> None:
    """It may be on its way to the worker, or done already while that is not heard yet: neither shows."""
    broker = Broker(known={})
    giving = broker.giving()
    assert [await tell(giving, broker, sends) for sends in range(1, 6)] == [1, 1, 1, 1, 1]
    assert broker.posts == [UUID]


async def test_what_another_may_have_published_is_looked_for_twice() -> None:
    broker = Broker(known={})
    giving = broker.giving()
    assert [await tell(giving, broker, sends) for sends in range(2, 5)] == [0, 1, 1]


@pytest.mark.parametrize(
    "broker",
    [Broker(depth_is=(1, 1)), Broker(known=None), Broker(depth_is=None, platform={})],
    ids=["in the inbox", "no answer", "no inbox"],
)
async def test_where_it_cannot_be_known_it_is_not_published(broker: Broker) -> None:
    giving = broker.giving()
    assert [await tell(giving, broker, sends) for sends in (2, 3, 4)] == [0, 0, 0]
    assert not broker.asked


@pytest.mark.parametrize(
    "broker",
    [
        Broker(known={UUID: ["active", {}]}),
        Broker(known=None, platform={"inbox": INBOX, "pool": "solo"}),
    ],
    ids=["it says so", "a solo worker that is busy"],
)
async def test_what_the_worker_has_runs(broker: Broker) -> None:
    assert await tell(broker.giving(), broker, 2) == 0
    assert broker.asked == [TaskStarted(task=7, attempt=2)]


async def test_what_was_not_confirmed_is_looked_for_before_it_is_published_again() -> None:
    broker = Broker(known={}, refuses=True)
    giving = broker.giving()
    with pytest.raises(UnavailableError):
        await tell(giving, broker, 1)
    broker.refuses = False
    assert [await tell(giving, broker, sends) for sends in (2, 3, 4)] == [0, 1, 1]


@pytest.mark.parametrize(
    ("state", "outcome"),
    [(AttemptState.RUNNING, Outcome.INTERRUPTED), (AttemptState.STOPPING, Outcome.CANCELED)],
    ids=["running", "stopping"],
)
async def test_what_its_worker_does_not_have_twice_has_ended_without_a_word(
    state: AttemptState, outcome: Outcome
) -> None:
    """`events/dispatcher.py`, flush: what could not be sent of a batch is gone. celery #7462: STARTED for ever."""
    broker = Broker(known={}, state=state)
    giving = broker.giving()
    await giving.look()
    assert not broker.asked, "its last word may be on its way"
    await giving.look()
    (ended,) = broker.asked
    assert (ended.task, ended.attempt, ended.outcome) == (7, 2, outcome)


@pytest.mark.parametrize(
    "broker",
    [Broker(known={UUID: ["active", {}]}), Broker(known=None), Broker(known={}, depth_is=(1, 1))],
    ids=["it has it", "no answer", "in the inbox"],
)
async def test_what_may_still_run_is_not_ended(broker: Broker) -> None:
    """Celery #619, #3981: who is busy does not answer, and that says nothing."""
    broker.state = AttemptState.RUNNING
    giving = broker.giving()
    for _ in range(3):
        await giving.look()
    assert not broker.asked


async def test_what_is_to_stop_and_runs_on_is_revoked_again() -> None:
    """Celery #8888: a worker that was away never heard the first (`worker/state.py`: it is kept in memory only)."""
    broker = Broker(known={UUID: ["active", {}]}, state=AttemptState.STOPPING)
    await broker.giving().look()
    assert broker.told == ["revoke"]
