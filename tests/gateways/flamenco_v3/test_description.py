"""The gateway's own OpenAPI document under generated calls: no answer that it does not name, and never a 5xx."""

import asyncio
import base64
import json

import pytest

from tests.gateways.flamenco_v3.conftest import Studio
from tests.gateways.test_descriptions import called

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Of the examples of a run: there are many operations.
SHARE = 0.1


async def test_generated_calls_find_nothing_undocumented(studio: Studio) -> None:
    document = (await studio.http.get("/gateways/flamenco_v3/openapi.json")).json()
    assert "$ref" not in json.dumps(document), "it stands alone"
    worker = await studio.awake()
    await studio.submit({"name": "a"})
    mine = {"task_id": (await worker.given())["uuid"]}
    basic = base64.b64encode(f"{worker.uuid}:{worker.secret}".encode()).decode()
    answers = await asyncio.to_thread(
        called, studio.gates.url, document, {"Authorization": f"Basic {basic}"}, mine, SHARE
    )
    assert {status for _, status in answers} >= {200, 204, 400}, answers
