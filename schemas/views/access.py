"""API tokens, as they are shown and asked for."""

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, Field

from schemas.base import Strict
from schemas.roles import Role
from schemas.views.base import View

TokenName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$")]


class TokenView(View):
    """A token, without itself. `prefix` is how it begins."""

    name: str
    role: Role
    prefix: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str | None = None
    usable: bool
    #: Where it opens one gateway and nothing else; and the one worker there that it is good for, if it is for one.
    gateway: str | None = None
    subject: str | None = None


class NewTokenView(View):
    """A token as it is shown once: `token` is the secret itself."""

    name: str
    role: Role
    token: str
    expires_at: datetime | None = None


class CredentialView(View):
    """What opens a gateway, as it is shown once: `shown` holds the secret, in that protocol's own words."""

    gateway: str
    name: str
    shown: dict[str, str]
    expires_at: datetime | None = None


class CredentialWish(Strict):
    """The credential that is asked for, for this gateway."""

    gateway: Annotated[str, Field(max_length=32)]
    name: TokenName
    expires_at: AwareDatetime | None = None


class TokenWish(Strict):
    """The token that is asked for: small letters, digits, dots, hyphens and underscores name it."""

    name: TokenName
    role: Role
    expires_at: AwareDatetime | None = None
