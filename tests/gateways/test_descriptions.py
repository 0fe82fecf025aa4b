"""Each gateway's own OpenAPI document under generated calls: no answer that it does not name, and never a 5xx."""

import asyncio
import contextlib
import itertools
import json
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from coordinator.gateways.openwork.routes import fresh_typeid
from tests.gateways.conftest import Gates
from tests.support.chance import examples

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def called(
    url: str, document: dict[str, Any], headers: dict[str, str], mine: dict[str, str], share: float = 0.2
) -> dict[tuple[str, int], int]:
    """Call every operation as the document says, and as it does not; how often each was answered with what.

    *mine* are parts of paths that name something.
    """
    answers: dict[tuple[str, int], int] = {}
    schema = schemathesis.openapi.from_dict(document)
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    for operation in operations:
        # Each twice where it names something: somebody known, and somebody else.
        parts = [name for name in mine if f"{{{name}}}" in operation.path]
        for mode, known in itertools.product(GenerationMode, (True, False) if parts else (False,)):
            named = {name: mine[name] for name in parts if known}

            @settings(
                max_examples=examples(share), deadline=None, database=None, suppress_health_check=list(HealthCheck)
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def call(case: Any) -> None:
                case.path_parameters = (case.path_parameters or {}) | named  # noqa: B023 - called at once
                response = case.call(base_url=url, headers=headers)
                case.validate_response(response, checks=CHECKS)
                key = (case.operation.label, response.status_code)
                answers[key] = answers.get(key, 0) + 1

            # What takes nothing cannot be called wrongly.
            with contextlib.suppress(*((Unsatisfiable,) if mode is GenerationMode.NEGATIVE else ())):
                call()
    return answers


@pytest.mark.parametrize("name", ["openwork", "stencila"])
async def test_generated_calls_find_nothing_undocumented(
    shared_gates: Gates, shared_http: httpx.AsyncClient, name: str
) -> None:
    document = (await shared_http.get(f"/gateways/{name}/openapi.json")).json()
    assert "$ref" not in json.dumps(document), "it stands alone"
    typeid = fresh_typeid()
    token = (await shared_gates.credential(name, typeid))["token"]
    scheme = "Bearer" if name == "openwork" else "Token"
    for headers in ({"Authorization": f"{scheme} {token}"}, {}):
        answers = await asyncio.to_thread(called, shared_gates.url, document, headers, {"id": typeid})
        statuses = {status for _, status in answers}
        assert (200 in statuses) == bool(headers), answers
        assert 400 in statuses or (name == "stencila" and not headers), answers
