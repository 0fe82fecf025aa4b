"""Bad messages by the million: recorded ones, changed here and there, quicker than they could be drawn.

The same seed makes the same messages. Each change is one of: bytes broken, poison put in place of a value or of a name,
values exchanged between messages, lists made long, events of another message added, names and versions changed.
"""

import json
from collections.abc import Sequence
from random import Random
from typing import Any, Final

from tests.fuzz.bad_input import POISON, STRANGERS, Sent

_MARK: Final = "\ue000"
_KEYS: Final = ("ev", "ev.node-2", "hb..", "log.node-1.x", "job.node-1", "job.", "ev.\u00fc", "nothing.node-1", "")
_NAMES: Final = ("node-2", "Node 1", "", "-", "a" * 65, "w-node-1", "farmhand")
_WORDS: Final = ("worker.sang", "task.dreamt", "worker.online", "task.finished", "task.log", "hibernating", "accepted")
_NUMBERS: Final = (-1, 0, 1, 2, 3, 2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63, 10**30, 0.5, 1e308, -1e308)


class Mutator:
    """Makes bad messages out of good ones (*seeds*: routing key and body)."""

    def __init__(self, seeds: Sequence[tuple[str, bytes]], random: Random, user: str) -> None:
        self.random = random
        self._seeds = seeds
        self._user = user
        self._sent: list[Sent] = []

    def message(self) -> Sent:
        """The next one: sometimes one that was sent before."""
        random = self.random
        if self._sent and random.random() < 0.05:
            return random.choice(self._sent)
        key, seed = random.choice(self._seeds)
        body = seed if random.random() < 0.1 else self.changed(seed)
        key = random.choice(_KEYS) if random.random() < 0.02 else key
        user = random.choice(STRANGERS) if random.random() < 0.02 else self._user
        sent = Sent(key, body, user)
        if len(self._sent) < 1000:
            self._sent.append(sent)
        else:
            self._sent[random.randrange(1000)] = sent
        return sent

    def changed(self, body: bytes) -> bytes:
        """*body*, changed in one to three places."""
        for _ in range(self.random.choice((1, 1, 1, 2, 3))):
            body = self._broken(body) if self.random.random() < 0.2 else self._turned(body)
        return body

    def _broken(self, body: bytes) -> bytes:
        random = self.random
        at, end = sorted((random.randrange(len(body) + 1), random.randrange(len(body) + 1)))
        match random.randrange(5):
            case 0:
                return body[:at]
            case 1:
                return body[:at] + random.randbytes(random.randint(1, 8)) + body[at:]
            case 2:
                return body[:at] + body[end:]
            case 3:
                return body[:end] + body[at:]
        return body + b" " * random.choice((1, 60_000, 70_000))

    def _turned(self, body: bytes) -> bytes:
        """The JSON in *body* with something else in one place; bytes that are none are broken further."""
        random = self.random
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return self._broken(body)
        if isinstance(value, dict) and random.random() < 0.3:
            return json.dumps(self._of_tomorrow(value)).encode()
        holder, key = self._place(value)
        if holder is None:
            return random.choice(POISON)
        match random.randrange(8):
            case 0 | 1:
                holder[key] = _MARK
            case 2 if isinstance(holder, dict):
                holder[random.choice((_MARK, "of_tomorrow", "type", "\u0000"))] = holder.pop(key)
            case 3:
                holder[key] = random.choice(_NUMBERS)
            case 4:
                holder[key] = random.choice(_WORDS + _NAMES)
            case 5:
                other = json.loads(random.choice(self._seeds)[1])
                there, name = self._place(other)
                holder[key] = there[name] if there is not None else other
            case 6:
                holder[key] = [holder[key]] * random.choice((0, 1, 2, 501, 3000))
            case _:
                holder.pop(key)
        text = json.dumps(value, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
        poison = random.choice(POISON)
        return text.replace(f'"{_MARK}"'.encode(), poison).replace(b'"\\ue000"', poison)[: 2**18]

    def _of_tomorrow(self, value: dict[str, Any]) -> dict[str, Any]:
        """*value* as a newer release might say it, or the same worker at another time."""
        random = self.random
        value["v"] = random.choice((1, 2, 2, 1000))
        value["seq"] = random.choice((value.get("seq"), random.randrange(2**63)))
        value[random.choice(("hue", "taste"))] = {"of": ["tomorrow"]}
        events = value.get("events")
        if not isinstance(events, list) or not events:
            return value
        event = random.choice(events)
        if isinstance(event, dict):
            event[random.choice(("hue", "result", "stats", "error", "duty", "reason"))] = random.choice(_WORDS)
            event["task"], event["attempt"] = random.choice((1, 2, 2**63 - 1)), random.choice((1, 2, 2**31 - 1))
        if random.random() < 0.5:
            events.insert(random.randrange(len(events) + 1), {"type": random.choice(_WORDS), "of": [None]})
        return value

    def _place(self, value: Any) -> tuple[Any, Any]:
        """Some place in *value*, its inner ones no more seldom than its outer ones: what holds it, and its key."""
        holder, key, inner = None, None, value
        while isinstance(inner, dict | list) and inner and (holder is None or self.random.random() < 0.75):
            holder = inner
            key = self.random.choice(list(inner)) if isinstance(inner, dict) else self.random.randrange(len(inner))
            inner = inner[key]
        return holder, key
