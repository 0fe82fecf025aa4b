"""The OpenAPI document: bodies are read by us, so it has to be told of them."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from coordinator.api.roles import BELOW, needed
from schemas.job import JobSpec
from schemas.template import ScheduleSpec, TemplateSpec, TemplateUse
from schemas.views import (
    CredentialWish,
    FairShare,
    IdleWish,
    JobLimit,
    KeepWish,
    Labels,
    LimitWish,
    PriorityWish,
    Problem,
    Reason,
    RequeueJob,
    SleepSchedule,
    StateWish,
    TagsWish,
    TokenWish,
    Unblock,
    WeightWish,
)

_REF = "#/components/schemas/{model}"


def accepts(model: type[BaseModel]) -> dict[str, Any]:
    """What a route says of its body (`openapi_extra`)."""
    schema = {"$ref": _REF.format(model=model.__name__)}
    return {"requestBody": {"content": {"application/json": {"schema": schema}}}}


def document(app: FastAPI) -> dict[str, Any]:
    """The document of *app*, made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, routes=app.routes)
        models = (
            *(IdleWish, JobSpec, KeepWish, Labels, PriorityWish, TagsWish),
            *(Problem, Reason, RequeueJob, ScheduleSpec, SleepSchedule, StateWish),
            *(CredentialWish, TemplateSpec, TemplateUse, TokenWish, Unblock),
            *(FairShare, JobLimit, LimitWish, WeightWish),
        )
        _, ours = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
        made.setdefault("components", {}).setdefault("schemas", {}).update(ours["$defs"])
        content = {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}}
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for route, path in made["paths"].items():
            for method, operation in path.items():
                if route.startswith(BELOW):
                    operation["security"] = [{"token": []}]
                    operation["x-farmhand-role"] = needed(method.upper(), route).value
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = {"description": "a problem", "content": content}
        app.openapi_schema = made
    return app.openapi_schema
