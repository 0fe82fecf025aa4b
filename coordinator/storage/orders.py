"""What a worker is told of an attempt, made from the specification's row: encoded once for all elements of an array."""

import json
from collections.abc import Mapping
from typing import Any

import asyncpg
from cachetools import LRUCache

from coordinator.domain.budget import NO_RULES, Rules
from coordinator.domain.matching import TaskClass
from coordinator.domain.template import element_name, fill, fill_text
from coordinator.operations.store import Order


class Spec:
    """A row of specs, and the part of it that a worker is told, encoded once for all elements."""

    def __init__(self, row: asyncpg.Record) -> None:
        self.row = row
        self.told = {key: value for key, value in row["body"].items() if key != "has_places"}
        self.encoded = _inside(self.told)


class Caches:
    """What never changes once it is written: classes and specs, by number; and the rules, which have a version."""

    def __init__(self) -> None:
        self.classes: dict[int, TaskClass] = {}
        self.specs: LRUCache[int, Spec] = LRUCache(maxsize=4096)
        #: What operators have set, and which version of it.
        self.rules: tuple[int, Rules] = (0, NO_RULES)


def _filled(told: Mapping[str, Any], index: int, value: Any) -> dict[str, Any]:
    """What an element is told: parameters keep the types of their values, a variable and a path are texts."""
    promote = told["promote"]
    return {
        **told,
        "commands": fill(told["commands"], index, value),
        "environment": {
            key: fill_text(text, index, value) if isinstance(text, str) else text
            for key, text in told["environment"].items()
        },
        "promote": None if promote is None else fill_text(promote, index, value),
    }


def _inside(thing: Mapping[str, Any]) -> str:
    """*thing* as JSON, without its braces."""
    return json.dumps(thing, separators=(",", ":"))[1:-1]


def order_of(job_id: int, spec: Spec, task: int, accepted: Mapping[int, int]) -> Order:
    """One attempt's order, with the places of its array element filled."""
    row, name, body = spec.row, spec.row["name"], spec.encoded
    if row["is_array"]:
        index = task - row["first_task"]
        value = row["array_values"][index] if row["array_values"] is not None else index
        name = element_name(name, index, value)
        if row["body"]["has_places"]:
            body = _inside(_filled(spec.told, index, value))
    inputs = [
        (need["name"], need["first"], [accepted[n] for n in range(need["first"], need["first"] + need["count"])])
        for need in row["after"]
    ]
    return Order(job_id, name, body, inputs)
