"""The gateway's own OpenAPI document under generated calls: no answer that it does not name, and never a 5xx."""

import asyncio
import json
from typing import Any

import pytest
import schemathesis

from tests.gateways.clearml.conftest import Lab
from tests.gateways.test_descriptions import called

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.extensive]

#: Of the examples of a run: there are many operations.
SHARE = 0.1


@schemathesis.serializer("application/json-lines")
def lines(_: Any, value: Any) -> bytes:
    """A batch: what is drawn for it, as it is."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


async def test_generated_calls_find_nothing_undocumented(lab: Lab) -> None:
    document = (await lab.http.get("/gateways/clearml/openapi.json")).json()
    assert "$ref" not in json.dumps(document), "it stands alone"
    client = await lab.client()
    headers = {"Authorization": f"Bearer {client.token}"}
    answers = await asyncio.to_thread(called, lab.gates.url, document, headers, {}, SHARE)
    assert {status for _, status in answers} >= {200, 400}, answers
