"""Stencila Hub's own published clients, both generations, against the gateway: they work as they are."""

import asyncio

from coordinator.gateways.stencila.translate import name_of
from tests.gateways.clients import run
from tests.gateways.conftest import Gates

#: Their document's own example: no call takes anything but the path.
THIRD = """
import sys
import stencila.hub
from stencila.hub.rest import ApiException
url, token = sys.argv[1:]
configuration = stencila.hub.Configuration(host=url, api_key={"Token": token}, api_key_prefix={"Token": "Token"})
with stencila.hub.ApiClient(configuration) as client:
    api = stencila.hub.WorkersApi(client)
    print(api.workers_online(), api.workers_heartbeat(), end=" ")
    print(api.workers_partial_update("worker@third"), api.workers_offline())
    event = {"hostname": "worker@third", "pid": 7, "freq": 2.0, "active": 1, "timestamp": 5.0, "sw_ident": "py-celery"}
    for what in ("online", "heartbeat"):
        client.call_api(f"/workers/{what}/", "POST", {}, [], {"Content-Type": "application/json"}, body=event,
                        auth_settings=["Token"], _return_http_data_only=True, response_types_map={})
configuration.api_key = {"Token": "wrong"}
with stencila.hub.ApiClient(configuration) as client:
    try:
        stencila.hub.WorkersApi(client).workers_online()
    except ApiException as error:
        print(error.status, error.body)
"""

FOURTH = """
import sys
from stencila.hub import ApiClient, ApiException, Configuration
from stencila.hub.api.workers_api import WorkersApi
from stencila.hub.model.worker import Worker
url, token = sys.argv[1:]
configuration = Configuration(host=url, api_key={"Token": token}, api_key_prefix={"Token": "Token"})
with ApiClient(configuration) as client:
    api = WorkersApi(client)
    worker = Worker(hostname="worker@fourth", queues=[1], pid=5, freq=2.0, utcoffset=0, sw_ident="py-celery",
                    sw_ver="5.0", clock=3, processed=0, loadavg=[0.5, 0.25, 0.125], timestamp=1.5,
                    type="worker-heartbeat")
    print(api.workers_online(worker), api.workers_heartbeat(worker))
    print(api.workers_partial_update("worker@fourth", worker).hostname)
    print(api.workers_offline(worker))
configuration.api_key = {"Token": "wrong"}
with ApiClient(configuration) as client:
    try:
        WorkersApi(client).workers_online(worker)
    except ApiException as error:
        print(error.status, error.body)
"""


async def test_the_client_that_their_document_shows_works_unchanged(gates: Gates) -> None:
    token = (await gates.credential("stencila", "render-07"))["token"]
    said = await asyncio.to_thread(run, "stencila-3", THIRD, f"{gates.url}/api", token)
    assert said.splitlines()[0] == "None None None None"
    assert said.splitlines()[1].startswith('403 {"message":')
    assert (await gates.worker(name_of("render-07")))["connection"] == "offline"
    row = await gates.worker(name_of("worker@third"))
    assert (row["connection"], row["lost_after_s"], row["open_sessions"]) == ("online", 10.0, 1)


async def test_the_last_client_works_unchanged(gates: Gates) -> None:
    token = (await gates.credential("stencila", "overseer"))["token"]
    said = await asyncio.to_thread(run, "stencila-4", FOURTH, f"{gates.url}/api", token)
    assert said.splitlines()[:3] == ["None None", "worker@fourth", "None"]
    assert said.splitlines()[3].startswith("403 ")
    row = await gates.worker(name_of("worker@fourth"))
    assert (row["connection"], row["software"]) == ("offline", "py-celery 5.0")
