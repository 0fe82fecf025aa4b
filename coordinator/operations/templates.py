"""Job templates: kept with versions, filled into jobs.

A template is checked as far as it can be without values: all its places must have a parameter, and when every parameter
has a default the job with these defaults must be one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from coordinator.domain.template import Parameter, ParameterError, ParameterType, bind, fill_parameters, places
from coordinator.operations.ledger import Ledger
from coordinator.operations.recurring import Template
from coordinator.operations.requests import Changed, ConflictError, InvalidError, NotFoundError, Request
from coordinator.operations.wanted import Wanted
from schemas.base import UndecodableError, refuse_unstorable, undecodable
from schemas.job import JobSpec
from schemas.template import TemplateSpec


@dataclass(frozen=True)
class Stored:
    """The version that a template has now; false when it was there already."""

    name: str
    version: int
    created: bool


@dataclass(frozen=True)
class CreateTemplate(Request[Stored]):
    """Keep this as the next version, unless the newest is the same."""

    spec: TemplateSpec
    actor: str


@dataclass(frozen=True)
class RemoveTemplate(Request[Changed]):
    """Forget all versions, unless a schedule uses them."""

    name: str
    actor: str
    reason: str | None = None


@dataclass(frozen=True)
class LookAtTemplate(Request[Template]):
    """The template itself."""

    name: str
    version: int | None = None


@dataclass(frozen=True)
class SubmitTemplate(Request[Any]):
    """A job out of a template; `replaced` are fields of the job that are given instead of the template's."""

    name: str
    actor: str
    version: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    replaced: Mapping[str, Any] = field(default_factory=dict)


# --- filling -----------------------------------------------------------------------------------------------


def _parameters(spec: TemplateSpec) -> list[Parameter]:
    return [
        Parameter(
            one.name, ParameterType(one.type), one.default, one.minimum, one.maximum, one.pattern, tuple(one.choices)
        )
        for one in spec.parameters
    ]


def job_of(spec: TemplateSpec, given: Mapping[str, Any], replaced: Mapping[str, Any]) -> JobSpec:
    """The job that the template makes of the *given* parameters, or `InvalidError` that names what is wrong."""
    try:
        values = bind(_parameters(spec), given)
    except ParameterError as error:
        raise InvalidError(f"template {spec.name!r}: {error}") from None
    filled = fill_parameters(spec.job, values)
    try:
        job = JobSpec.model_validate({"name": spec.name, **filled, **replaced})
        refuse_unstorable(job.model_dump_json().encode())
    except ValidationError as error:
        fault = undecodable(error)
        named = _blamed(spec.job, fault.field)
        raise InvalidError(f"template {spec.name!r}: {named}job.{fault.field}: {fault.detail}") from None
    except UndecodableError as error:
        raise InvalidError(f"template {spec.name!r}: job.{error}") from None
    return job


def _blamed(job: Any, path: str) -> str:
    """The parameters that fill the field at the dotted *path*, as the beginning of a sentence."""
    found = job
    for part in path.split("."):
        if isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        elif isinstance(found, dict) and part in found:
            found = found[part]
        else:
            break
    if found is job:
        return ""
    names = list(dict.fromkeys(places(found)))
    return f"with parameter {', '.join(map(repr, names))}: " if names else ""


# --- events ------------------------------------------------------------------------------------------------


def want(wanted: Wanted, request: CreateTemplate | RemoveTemplate | LookAtTemplate) -> None:
    """All versions are few; the newest, or the one that is named, is needed."""
    name = request.spec.name if isinstance(request, CreateTemplate) else request.name
    wanted.recurring.templates.add((name, request.version if isinstance(request, LookAtTemplate) else None))


def create(ledger: Ledger, request: CreateTemplate) -> Stored:
    """Keep the next version."""
    spec = request.spec
    known = {one.name for one in spec.parameters}
    for name in places(spec.job):
        if name not in known:
            raise InvalidError(f"template {spec.name!r} has a place for parameter {name!r}, which it does not declare")
    try:
        bind([one for one in _parameters(spec) if one.default is not None], {})
    except ParameterError as error:
        raise InvalidError(f"template {spec.name!r}: the default of {error}") from None
    if all(one.default is not None for one in spec.parameters):
        job_of(spec, {}, {})
    newest = ledger.recurring.templates.get((spec.name, None))
    if newest is not None and _same(newest.spec, spec):
        return Stored(spec.name, newest.version, created=False)
    version = newest.version + 1 if newest is not None else 1
    made = Template(spec.name, version, spec, ledger.now, request.actor)
    ledger.recurring.templates[spec.name, None] = made
    ledger.recurring.new_templates.append(made)
    ledger.note_farm("template.created", actor=request.actor, detail={"template": spec.name, "version": version})
    return Stored(spec.name, version, created=True)


def _same(one: TemplateSpec, other: TemplateSpec) -> bool:
    return json.dumps(one.model_dump(mode="json"), sort_keys=True) == json.dumps(
        other.model_dump(mode="json"), sort_keys=True
    )


def find(ledger: Ledger, name: str, version: int | None) -> Template:
    """The template as it was loaded, or `NotFoundError`."""
    found = ledger.recurring.templates.get((name, version))
    if found is None:
        which = f"template {name!r}" if version is None else f"version {version} of template {name!r}"
        raise NotFoundError(f"there is no {which}; farmhand templates lists them")
    return found


def look(ledger: Ledger, request: LookAtTemplate) -> Template:
    """The template itself."""
    return find(ledger, request.name, request.version)


def remove(ledger: Ledger, request: RemoveTemplate) -> Changed:
    """Forget it."""
    found = find(ledger, request.name, None)
    users = ledger.recurring.users.get(request.name, [])
    if users:
        raise ConflictError(f"template {request.name!r} is used by schedule {users[0]!r}: remove that one first")
    ledger.recurring.removed_templates.add(request.name)
    del ledger.recurring.templates[request.name, None]
    detail = {"template": request.name, "reason": request.reason}
    ledger.note_farm("template.removed", actor=request.actor, detail=detail)
    return Changed(found.version)
