"""One call of the API: what is sent, and how the answer is read."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from schemas.views import Changed

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call, and how its answer is read."""

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    query: Mapping[str, Any] = field(default_factory=dict)
    body: bytes | None = None


def read_as(model: type[M], response: httpx.Response) -> M:
    """Read the answer as *model*."""
    return model.model_validate_json(response.content)


def get(path: str, model: type[M], **query: object) -> Call[M]:
    """Read something; a query of None is left out."""
    return Call("GET", path, partial(read_as, model), query)


def change(path: str, *, method: str = "POST", **body: object) -> Call[Changed]:
    """Change something, by a request whose body are these fields."""
    return Call(method, path, partial(read_as, Changed), body=json.dumps(body).encode())


def part(name: str) -> str:
    """A name as a part of a path."""
    return quote(str(name), safe="")


def written(model: BaseModel) -> bytes:
    """A model as a body."""
    return model.model_dump_json(exclude_defaults=True).encode()
