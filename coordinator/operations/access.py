"""Tokens of the HTTP API: made, and revoked. The token itself is never seen here, only what is kept of it."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self
from uuid import UUID

from coordinator.domain.access import Token, digest_of, gateway_prefix_of, prefix_of
from coordinator.domain.worker import PRESENT, Worker
from coordinator.operations.foreign import Portrait, enrol, take_over
from coordinator.operations.ledger import Ledger
from coordinator.operations.records import NewToken
from coordinator.operations.requests import Changed, ConflictError, InvalidError, NotFoundError, Request
from coordinator.operations.wanted import Wanted
from schemas.roles import Role

#: Names in the history that are no token's.
RESERVED: Final = frozenset({"bootstrap", "agents", "farmhand"})


@dataclass(frozen=True)
class Minted:
    """A new token: the only place where it is ever whole."""

    token: str
    prefix: str
    digest: bytes

    @classmethod
    def fresh(cls) -> Self:
        """256 random bits, and 48 more to look it up by."""
        token = f"fht_{secrets.token_hex(6)}_{secrets.token_hex(32)}"
        return cls(token, prefix_of(token) or "", digest_of(token))


@dataclass(frozen=True)
class Enrolment:
    """A worker that is known from the moment on that its credential is made."""

    worker: str
    portrait: Portrait
    instance: UUID


@dataclass(frozen=True)
class Credential:
    """What a gateway's client shows. `shown` is whole, in its protocol's own words, and shown once.

    `subject` is the one worker that it is good for, as its protocol calls it.
    """

    shown: Mapping[str, str]
    prefix: str
    digest: bytes
    subject: str | None = None
    enrols: Enrolment | None = None

    @classmethod
    def token(cls, subject: str | None = None, enrols: Enrolment | None = None, **shown: str) -> Self:
        """A bearer's token, made anew; *shown* are further words beside it."""
        token = f"fhg_{secrets.token_hex(6)}_{secrets.token_hex(32)}"
        return cls({"token": token, **shown}, gateway_prefix_of(token) or "", digest_of(token), subject, enrols)


@dataclass(frozen=True)
class CreateToken(Request[Changed]):
    """Accept the token of this prefix and digest, under this name: for the API, or for one *gateway* only."""

    name: str
    role: Role
    prefix: str
    digest: bytes
    expires_at: datetime | None
    actor: str
    gateway: str | None = None
    subject: str | None = None
    enrols: Enrolment | None = None


@dataclass(frozen=True)
class RevokeToken(Request[Changed]):
    """Accept the token of this name no longer."""

    name: str
    actor: str


@dataclass(frozen=True)
class Enlist(Request[str]):
    """A worker makes itself known, with a credential that it has made up: answers with its name here.

    That is *worker*; when somebody has that name and is there, *otherwise*. One that has gone is this one come back: it
    is the same row, under its new credential, without the labels that were approved for the former bearer.
    """

    worker: str
    otherwise: str
    gateway: str
    prefix: str
    digest: bytes
    portrait: Portrait
    instance: UUID
    actor: str


def want_enlist(wanted: Wanted, request: Enlist) -> None:
    """Who has these names, and with which credentials."""
    for name in (request.worker, request.otherwise):
        wanted.holders.add(name)
        wanted.foreign.add(name)
        wanted.tokens.add(name)


def enlist(ledger: Ledger, request: Enlist) -> str:
    """Make the worker known, or again."""
    name, former = request.worker, ledger.workers.get(request.worker)
    if former is not None and (former.protocol != request.portrait.protocol or not _has_gone(former)):
        name, former = request.otherwise, None
    if name in ledger.tokens:
        revoke(ledger, RevokeToken(name, request.actor))
    if former is None:
        enrol(ledger, name, request.portrait, request.instance)
    else:
        take_over(ledger, former, request.portrait, request.actor)
    create(
        ledger,
        CreateToken(
            name,
            Role.AGENT,
            request.prefix,
            request.digest,
            None,
            request.actor,
            gateway=request.gateway,
            subject=name,
        ),
    )
    return name


def _has_gone(worker: Worker) -> bool:
    """Whether it was here and is not any more."""
    return worker.connection not in PRESENT and bool(worker.arrivals)


def want_new(wanted: Wanted, request: CreateToken) -> None:
    """Tokens of its name, and the worker that it enrols."""
    wanted.tokens.add(request.name)
    if request.enrols is not None:
        wanted.workers.add(request.enrols.worker)


def create(ledger: Ledger, request: CreateToken) -> Changed:
    """A name belongs to one token at a time, so that it says in the history who acted."""
    if request.name in RESERVED:
        raise InvalidError(f"{request.name!r} is no name for a token: it stands for others in the history")
    if request.name in ledger.tokens:
        raise ConflictError(f"there is a token {request.name!r} already: revoke it first, or choose another name")
    if request.expires_at is not None and request.expires_at <= ledger.now:
        raise InvalidError("it would have expired already: give a time to come")
    token = Token(
        request.name,
        request.role,
        request.prefix,
        request.digest,
        request.expires_at,
        gateway=request.gateway,
        subject=request.subject,
    )
    if request.enrols is not None and request.enrols.worker not in ledger.workers:
        enrol(ledger, request.enrols.worker, request.enrols.portrait, request.enrols.instance)
    ledger.tokens[token.name] = token
    ledger.new_tokens[token.prefix] = NewToken(token, request.actor)
    _note(ledger, "access.created", request.actor, token)
    return Changed(1)


def revoke(ledger: Ledger, request: RevokeToken) -> Changed:
    """From the commit on it opens nothing; other coordinators look again within a second."""
    token = ledger.tokens.pop(request.name, None)
    if token is None:
        raise NotFoundError(f"there is no token {request.name!r}; farmhand access list --all shows revoked ones too")
    if token.prefix in ledger.new_tokens:
        ledger.new_tokens[token.prefix] = ledger.new_tokens[token.prefix]._replace(revoked_by=request.actor)
    else:
        ledger.revoked_tokens[token.prefix] = request.actor
    _note(ledger, "access.revoked", request.actor, token)
    return Changed(1)


def _note(ledger: Ledger, event: str, actor: str, token: Token) -> None:
    detail = {"gateway": token.gateway} if token.gateway else {"role": token.role.value}
    ledger.note_farm(event, actor=actor, detail={"token": token.name, **detail})
