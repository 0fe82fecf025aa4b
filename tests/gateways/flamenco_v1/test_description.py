"""The gateway's own OpenAPI document under generated calls: no answer that it does not name, and never a 5xx."""

import asyncio
import json

import httpx
import pytest

from tests.gateways.conftest import Gates
from tests.gateways.flamenco_v1.scripted import Worker
from tests.gateways.test_descriptions import called

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Of the examples of a run: there are many operations.
SHARE = 0.1


async def test_generated_calls_find_nothing_undocumented(shared_gates: Gates, shared_http: httpx.AsyncClient) -> None:
    document = (await shared_http.get("/gateways/flamenco_v1/openapi.json")).json()
    assert "$ref" not in json.dumps(document), "it stands alone"
    async with Worker(shared_gates.url) as worker:
        await worker.register()
        (shown,) = (await shared_http.get("/workers")).json().values()
        answers = await asyncio.to_thread(called, shared_gates.url, document, {}, {"number": shown["id"]}, SHARE)
    assert {status for _, status in answers} >= {200, 204, 400, 404}, answers
