"""What Stencila Hub's overseer and clients send (Stencila Hub API, WorkersApi; Celery's worker events).

The overseer sends a Celery event as it received it, the generated clients send nothing or a few fields of it. Names
come in snake case or, as the Hub's own parser has it, in camel case.
"""

from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError

from coordinator.gateways.kit import Lenient, Shown

Name = Annotated[Shown, Field(min_length=1, max_length=512)]
Figure = Annotated[float, Field(ge=0)]


def _either(snake: str, camel: str) -> Any:
    return Field(default=None, validation_alias=AliasChoices(snake, camel))


QueueName = Annotated[Shown, Field(min_length=1, max_length=256)]


class Queue(Lenient):
    """A queue that a worker listens to."""

    name: QueueName


class Broker(Lenient):
    """Where the worker is connected."""

    virtual_host: Annotated[str, Field(max_length=256)] | None = _either("virtual_host", "virtualHost")


class Pool(Lenient):
    """How many tasks it runs at once."""

    max_concurrency: Annotated[int, Field(ge=1)] | None = Field(
        default=None, validation_alias=AliasChoices("max-concurrency", "max_concurrency", "maxConcurrency")
    )


class Stats(Lenient):
    """What `celery inspect stats` says of it, as far as it is of use."""

    broker: Broker | None = None
    pool: Pool | None = None
    pid: int | None = None


class Update(Lenient):
    """More about a worker. Queues are `celery inspect active_queues`, or names, or the Hub's own numbers for them."""

    queues: Annotated[list[Queue | QueueName | int], Field(max_length=200)] | None = None
    stats: Stats | None = None


def _details(value: Any) -> Update | None:
    try:
        return Update.model_validate(value)
    except ValidationError:
        return None


class Event(Lenient):
    """A worker's event: `online`, `heartbeat` or `offline`, by the path that it is sent to.

    Overseers of 2020 put into `details` what later ones send by PATCH. What is wrong with it is passed over.
    """

    hostname: Name | None = None
    utcoffset: float | None = None
    pid: int | None = None
    freq: Annotated[float, Field(gt=0, le=86_400)] | None = None
    clock: int | None = None
    active: Annotated[int, Field(ge=0, le=2**53)] | None = None
    processed: Annotated[int, Field(ge=0)] | None = None
    loadavg: Annotated[list[Figure], Field(max_length=3)] | None = None
    timestamp: Annotated[float, Field(ge=0, le=253_402_300_799)] | None = None
    sw_ident: Annotated[str, Field(max_length=128)] | None = _either("sw_ident", "swIdent")
    sw_ver: Annotated[str, Field(max_length=128)] | None = _either("sw_ver", "swVer")
    sw_sys: Annotated[str, Field(max_length=128)] | None = _either("sw_sys", "swSys")
    details: Annotated[Update | None, BeforeValidator(_details)] = None
