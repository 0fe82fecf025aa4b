"""API tokens: list, create, revoke. A token is shown in the answer that makes it, and never again."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from coordinator.api.bodies import body_of
from coordinator.api.document import accepts
from coordinator.api.farm import Actor, Farm, FarmHere, caller_of
from coordinator.api.problems import ProblemError
from coordinator.domain.protocol import NATIVE, PROTOCOLS
from coordinator.operations.access import CreateToken, Minted, RevokeToken
from schemas.roles import Role
from schemas.views import Changed, CredentialView, CredentialWish, NewTokenView, Page, TokenView, TokenWish

router = APIRouter(prefix="/access", tags=["access"])

Name = Annotated[str, Path(min_length=1, max_length=64)]


@router.get("")
async def tokens(
    farm: FarmHere, *, revoked: Annotated[bool, Query(description="revoked ones too")] = False
) -> Page[TokenView]:
    """Tokens, by name; never the secrets."""
    return Page(items=[] if farm.shelf is None else await farm.shelf.tokens(revoked=revoked))


@router.post("", status_code=201, openapi_extra=accepts(TokenWish))
async def create(
    request: Request, farm: FarmHere, actor: Actor, body: Annotated[TokenWish, body_of(TokenWish)]
) -> NewTokenView:
    """Make a token: its only copy is in the answer."""
    if body.role is not Role.ADMIN and caller_of(request).name is None and not await _has_admin(farm):
        raise ProblemError(
            409, "this farm is open, and closes with its first token: make an admin's first", kind="conflict"
        )
    made = Minted.fresh()
    await farm.ask(CreateToken(body.name, body.role, made.prefix, made.digest, body.expires_at, actor))
    farm.door.forget()
    return NewTokenView(name=body.name, role=body.role, token=made.token, expires_at=body.expires_at)


@router.post("/gateways", status_code=201, openapi_extra=accepts(CredentialWish))
async def create_credential(
    farm: FarmHere, actor: Actor, body: Annotated[CredentialWish, body_of(CredentialWish)]
) -> CredentialView:
    """Make what opens one gateway: its only copy is in the answer."""
    mint = farm.mints.get(body.gateway)
    if mint is None and body.gateway in PROTOCOLS and body.gateway != NATIVE:
        said = f"the {PROTOCOLS[body.gateway].title} protocol knows no credentials: there is nothing to make"
        raise ProblemError(422, said, field="gateway", kind="invalid")
    if mint is None:
        known = ", ".join(sorted(farm.mints)) or "there is none"
        raise ProblemError(422, f"there is no gateway {body.gateway!r}: {known}", field="gateway", kind="invalid")
    made = mint(body.name)
    request = CreateToken(
        *(body.name, Role.AGENT, made.prefix, made.digest, body.expires_at, actor),
        gateway=body.gateway,
        subject=made.subject,
        enrols=made.enrols,
    )
    await farm.ask(request)
    farm.door.forget()
    return CredentialView(gateway=body.gateway, name=body.name, shown=dict(made.shown), expires_at=body.expires_at)


@router.delete("/{name}")
async def revoke(farm: FarmHere, actor: Actor, name: Name) -> Changed:
    """Accept it no longer: here at once, on other coordinators within a second."""
    done = await farm.ask(RevokeToken(name, actor))
    farm.door.forget()
    return Changed(count=done.count)


async def _has_admin(farm: Farm) -> bool:
    return farm.shelf is not None and any(
        token.role is Role.ADMIN and token.usable for token in await farm.shelf.tokens()
    )
