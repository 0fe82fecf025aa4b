"""Who calls: a worker by HTTP Basic, as all of Flamenco 3's worker operations but one want it."""

import base64
import binascii
from typing import TypeVar

from fastapi import Request

from coordinator.domain.access import Token
from coordinator.domain.outcome import Refused
from coordinator.gateways.flamenco_v3 import translate
from coordinator.gateways.flamenco_v3.answers import forbidden
from coordinator.gateways.kit import Gate
from coordinator.operations.requests import NotFoundError
from coordinator.operations.requests import Request as Asked

A = TypeVar("A")


class Door:
    """Lets workers in: the name they give is their UUID, the password what they made up when they registered."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def caller(self, request: Request) -> Token:
        """The credential of a worker; `subject` is its name here. Raises Fault 403."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            raise forbidden("no credential was given")
        try:
            uuid, _, secret = base64.b64decode(given.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            raise forbidden("the credential is malformed") from None
        known = await self._gate.holder(translate.PROTOCOL, uuid.lower() if translate.is_uuid(uuid) else "", secret)
        if isinstance(known, Refused) or known.subject is None:
            raise forbidden("the credential is wrong")
        return known

    async def worker(self, request: Request) -> str:
        """What the worker that calls is called here."""
        return (await self.caller(request)).subject or ""

    async def ask(self, question: Asked[A]) -> A:
        """The answer to a worker; one that was removed meanwhile is not let in any more."""
        try:
            return await self._gate.ask(question)
        except NotFoundError:
            raise forbidden("the worker was removed: sign on again") from None
