"""Who may do what: roles and the life of a token. Pure: the time and the digest are given.

A token is 256 random bits, so its SHA-256 tells nothing about it and cannot be searched for: that is what is stored. A
slow password hash is for secrets that people choose; here it would only cost time on each call.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from coordinator.domain.outcome import Refused
from schemas.roles import Role

#: role -> whatever needs one of these is allowed.
GRANTS: Final[Mapping[Role, frozenset[Role]]] = {
    Role.AGENT: frozenset({Role.AGENT}),
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.SUBMITTER: frozenset({Role.VIEWER, Role.SUBMITTER}),
    Role.OPERATOR: frozenset({Role.VIEWER, Role.SUBMITTER, Role.OPERATOR}),
    Role.ADMIN: frozenset(Role),
}
#: What is not a secret of a token comes first: it says what it is, and by which row it is looked up.
_TOKEN: Final = re.compile(r"(fht_[0-9a-f]{12})_[0-9a-f]{64}", re.ASCII)
_GATEWAY_TOKEN: Final = re.compile(r"(fhg_[0-9a-f]{12})_[0-9a-f]{64}", re.ASCII)


def allows(role: Role, needed: Role) -> bool:
    """Whether *role* may do what needs *needed*."""
    return needed in GRANTS[role]


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept: everything but the token itself."""

    name: str
    role: Role
    prefix: str
    digest: bytes
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    #: The one gateway that it opens, where it opens nothing else; and the one worker there, if it is good for one only.
    gateway: str | None = None
    subject: str | None = None


def prefix_of(token: str) -> str | None:
    """What *token* is looked up by; None when it cannot be a token."""
    match = _TOKEN.fullmatch(token)
    return match[1] if match else None


def gateway_prefix_of(token: str) -> str | None:
    """What a gateway's *token* is looked up by; None when it cannot be one."""
    match = _GATEWAY_TOKEN.fullmatch(token)
    return match[1] if match else None


def digest_of(token: str) -> bytes:
    """What is kept of *token*."""
    return hashlib.sha256(token.encode()).digest()


class Caller(NamedTuple):
    """Who calls: a token's name (None where nobody has to say it), and what it may do."""

    name: str | None
    role: Role


def admit(kept: Token | None, given: str, now: datetime, gateway: str | None = None) -> Caller | Refused:
    """The bearer of *given*, found as *kept* (None: by its prefix there is none), to the API or to a *gateway*."""
    what = "credential" if gateway else "API token"
    if kept is None or kept.gateway != gateway or not hmac.compare_digest(kept.digest, digest_of(given)):
        return Refused("unknown", "call", f"the {what} is wrong")
    if kept.revoked_at is not None:
        return Refused("revoked", "call", f"the {what} {kept.name!r} was revoked")
    if kept.expires_at is not None and kept.expires_at <= now:
        return Refused("expired", "call", f"the {what} {kept.name!r} has expired")
    return Caller(kept.name, kept.role)


class Auth(StrEnum):
    """Whether calls need a token: `auto` is as safe as the farm is reachable, the others are an operator's word."""

    AUTO = "auto"
    OPEN = "open"
    TOKENS = "tokens"


def is_open(auth: Auth, *, bootstrap: bool, exposed: bool, any_token: bool) -> bool:
    """Whether everybody who reaches the farm may do anything.

    With `auto`: while it listens on loopback only, no token is a setting, and no token was ever made. A token that
    was revoked or has expired still counts, so that a farm never falls open by itself.
    """
    if auth is not Auth.AUTO:
        return auth is Auth.OPEN
    return not (bootstrap or exposed or any_token)
