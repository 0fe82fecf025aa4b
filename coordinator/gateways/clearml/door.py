"""Who calls: an access key with its secret by HTTP Basic, or the token that `auth.login` gave for it.

A token is what their clients can read, a JWT whose claims say until when it is good. Nothing of it is stored. Its last
part, where others have a signature, is derived from the secret, and the digest of that is all that the farm keeps: so a
token can be made by nobody who has not the secret, not by who reads the database, and is good as long as the credential
is. When it says that it has expired it has; to end one before, revoke the credential.
"""

import base64
import binascii
import json
import secrets
import time
from typing import Any, Final
from uuid import UUID

from fastapi import Request

from coordinator.domain.access import digest_of
from coordinator.domain.outcome import Refused
from coordinator.gateways.clearml.translate import PROTOCOL, Caller
from coordinator.gateways.clearml.wire import Login
from coordinator.gateways.kit import Fault, Gate
from coordinator.operations.access import Credential

#: The smallest surface: an agent that reads this asks for nothing that is newer.
API_VERSION: Final = "2.5"
_DAY_S: Final = 86400
_LONGEST_HOST: Final = 255
_USUAL_S: Final = 30 * _DAY_S
_LONGEST_S: Final = 365 * _DAY_S
_PURPOSE: Final = "farmhand clearml token\0"


def mint(_name: str) -> Credential:
    """An access key and its secret, for all agents and clients of an installation, or for some."""
    key, secret = f"farmhand{secrets.token_hex(8)}", secrets.token_urlsafe(32)
    return Credential({"access_key": key, "secret_key": secret}, key, digest_of(_proof(secret)))


def _proof(secret: str) -> str:
    return _base64(digest_of(_PURPOSE + secret))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _read(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Door:
    """Lets clients in. Faults are 401, with what is wrong in the subcode."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def caller(self, request: Request) -> Caller:
        """Who calls."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        match scheme.lower():
            case "basic":
                key, proof = self._basic(given.strip())
                session = ""
            case "bearer":
                key, session, proof = self._bearer(given.strip())
            case "":
                raise Fault(401, "log in first: no credential was given", extra={"subcode": 20})
            case _:
                raise Fault(401, f"{scheme[:20]!r} is no way to log in: Basic and Bearer are", extra={"subcode": 10})
        known = await self._gate.holder(PROTOCOL, key, proof)
        if isinstance(known, Refused):
            raise Fault(401, f"access key {key[:40]!r}: {known.reason}", extra={"subcode": 30 if session else 22})
        address = request.client.host if request.client else ""
        host = request.headers.get("x-clearml-worker", "")[:_LONGEST_HOST]
        return Caller(known.name, session, address, host if host.isprintable() else "", key, proof)

    async def login(self, caller: Caller, said: Login) -> dict[str, Any]:
        """A token for who calls, under a new session: sessions are in the order in which they began."""
        now = time.time()
        number = (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62
        claims = {
            "iat": int(now),
            "exp": int(now) + min(said.expiration_sec or _USUAL_S, _LONGEST_S),
            "session_id": UUID(int=number | secrets.randbits(62)).hex,
            "auth_type": "Bearer",
            "access_key": caller.key,
            "identity": {
                "user": caller.name,
                "user_name": caller.name,
                "company": "farmhand",
                "company_name": "Farmhand",
                "role": "user",
            },
            "env": "farmhand",
            "api_version": API_VERSION,
            "server_version": "1.0",
            "server_build": "farmhand",
            "feature_set": "basic",
        }
        head = {"alg": "HS256", "typ": "JWT"}
        token = ".".join([*(_base64(json.dumps(one).encode()) for one in (head, claims)), caller.proof])
        return {"token": token}

    def _basic(self, given: str) -> tuple[str, str]:
        try:
            key, colon, secret = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            key = colon = secret = ""
        if not colon or not key:
            raise Fault(401, "the credential is malformed", extra={"subcode": 21})
        return key, _proof(secret)

    def _bearer(self, given: str) -> tuple[str, str, str]:
        try:
            _, body, proof = given.split(".")
            claims: dict[str, Any] = json.loads(_read(body))
            key, session, until = str(claims["access_key"]), str(claims["session_id"]), float(claims["exp"])
            UUID(session)
        except (ValueError, KeyError, TypeError, RecursionError, AttributeError):
            raise Fault(401, "the token is none of this farm's: log in again", extra={"subcode": 30}) from None
        if until <= time.time():
            raise Fault(401, "the token has expired: log in again", extra={"subcode": 30})
        return key, session, proof
