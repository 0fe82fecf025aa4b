"""Control messages to Celery's workers, and their answers (kombu, `pidbox.py`; Celery, `worker/control.py`).

A message reaches every worker, and those that it names act on it: so many are asked at once, and seldom.
"""

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from coordinator.gateways.celery.wire import UnreadableError, decode
from coordinator.operations.ports import Delivery, Guest, Post, Source

EXCHANGE: Final = "celery.pidbox"
REPLIES: Final = "reply.celery.pidbox"
#: Seconds that answers may take.
ANSWER_S: Final = 5.0


@dataclass
class _Asked:
    wanted: frozenset[str]
    answers: dict[str, Any] = field(default_factory=dict)
    complete: asyncio.Event = field(default_factory=asyncio.Event)


class Control:
    """Asks workers of one broker."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._address = str(uuid4())
        self._asked: dict[str, _Asked] = {}
        queue = f"{self._address}.{REPLIES}"
        source = Source(queue, REPLIES, "direct", (self._address,), durable_exchange=False, exclusive=True)
        guest.consume(source, self._hear, 200)

    async def tell(self, method: str, arguments: Mapping[str, Any], to: Collection[str] | None = None) -> None:
        """Have workers (all, or those named) do something. Raises UnavailableError."""
        await self._guest.publish(self._post(method, arguments, to, None))

    async def ask(
        self, method: str, arguments: Mapping[str, Any], of: Collection[str] | None, within_s: float = ANSWER_S
    ) -> dict[str, Any]:
        """What workers answer, by their names; as soon as all that are named have. Raises UnavailableError."""
        ticket = str(uuid4())
        asked = self._asked[ticket] = _Asked(frozenset(of or ()))
        try:
            await self._guest.publish(self._post(method, arguments, of, ticket))
            async with asyncio.timeout(within_s):
                await asked.complete.wait()
        except TimeoutError:
            pass
        finally:
            del self._asked[ticket]
        return asked.answers

    def _post(self, method: str, arguments: Mapping[str, Any], to: Collection[str] | None, ticket: str | None) -> Post:
        body: dict[str, Any] = {
            "method": method,
            "arguments": dict(arguments),
            "destination": None if to is None else sorted(to),
            "pattern": None,
            "matcher": None,
        }
        if ticket is not None:
            body |= {"ticket": ticket, "reply_to": {"exchange": REPLIES, "routing_key": self._address}}
        return Post(EXCHANGE, "", json.dumps(body).encode(), {"clock": 0, "expires": 0})

    def _hear(self, deliveries: Sequence[Delivery]) -> None:
        """Take answers in: each is `{"node name": what it says}`."""
        for delivery in deliveries:
            asked = self._asked.get(str(delivery.headers.get("ticket")))
            if asked is None:
                continue
            try:
                values = decode(delivery.body, delivery.content_type)
            except UnreadableError:
                continue
            for value in values:
                if isinstance(value, dict):
                    asked.answers.update({str(name): said for name, said in value.items()})
            if asked.wanted and asked.wanted <= asked.answers.keys():
                asked.complete.set()
        self._settling = asyncio.ensure_future(self._guest.settle(deliveries))
