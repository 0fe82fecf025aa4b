"""Who may call ClearML's endpoints. Each case names what it was taken from."""

import base64
import json
import time
from typing import Any

import pytest

from coordinator.gateways.clearml.door import mint
from tests.gateways.clearml.conftest import Client, Lab

pytestmark = pytest.mark.asyncio(loop_scope="module")


def claims_of(token: str) -> dict[str, Any]:
    """What a token says, as clients read it."""
    body = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


def changed(token: str, **claims: Any) -> str:
    """The token with other claims."""
    head, _, proof = token.split(".")
    body = base64.urlsafe_b64encode(json.dumps({**claims_of(token), **claims}).encode()).decode().rstrip("=")
    return f"{head}.{body}.{proof}"


async def test_a_login_gives_a_token_that_clients_accept(lab: Lab) -> None:
    """clearml-agent, session: a JWT it can read, more than 12 hours ahead; `feature_set` other than basic, or a newer
    `api_version`, makes it ask for more."""
    client = await lab.client()
    claims = claims_of(client.token)
    assert claims["exp"] - time.time() > 12 * 3600
    assert (claims["api_version"], claims["feature_set"]) == ("2.5", "basic")
    assert claims["identity"]["user"]
    assert await client.done("workers.get_count")
    again = await client.done("auth.login", expiration_sec=60)
    assert claims_of(again["token"])["exp"] - time.time() <= 60
    assert claims_of(again["token"])["session_id"] > claims["session_id"], "logins are in their order"
    with_keys = await lab.http.post("/workers.get_count", auth=client.keys)
    assert with_keys.status_code == 200, "the keys themselves open every endpoint"


async def test_a_login_sets_the_cookie_and_takes_no_other_time_than_one_to_come(lab: Lab) -> None:
    """ClearML, auth.login: `clearml_token_basic` holds the token, too; `expiration_sec` is a number of seconds."""
    client = await lab.client()
    answer = await lab.http.post("/auth.login", auth=client.keys, json={"expiration_sec": None})
    assert answer.cookies["clearml_token_basic"] == answer.json()["data"]["token"]
    lab.http.cookies.clear()
    for wrong in ("soon", "0", "-1", "1.5"):
        assert await client.code("auth.login", expiration_sec=wrong) == (400, 12), wrong
    longest = await client.done("auth.login", expiration_sec=10**15)
    assert claims_of(longest["token"])["exp"] - time.time() <= 365 * 86400 + 1, "a year at most"


async def test_every_operation_asks_for_a_credential_and_takes_no_nonsense(lab: Lab) -> None:
    """ClearML, error codes: 401/20 without a credential, 400/12 for what is no JSON, or no object; in the envelope."""
    client = await lab.client()
    document = (await lab.http.get("/gateways/clearml/openapi.json")).json()
    assert len(document["paths"]) == 1 + 8 + 6 + 9 + 1, "auth, workers, queues, tasks, events"
    for path in document["paths"]:
        answer = await lab.http.post(path, json={})
        assert (answer.status_code, answer.json()["meta"]["result_subcode"]) == (401, 20), path
        for content in (b"{", b'"x"', b"[1]", b"\xff"):
            answer = await lab.http.post(path, content=content, headers={"Authorization": f"Bearer {client.token}"})
            meta = answer.json()["meta"]
            assert (answer.status_code, meta["result_code"], meta["result_subcode"]) == (400, 400, 12), (path, content)
            assert (meta["endpoint"]["name"], answer.json()["data"]) == (path.strip("/"), {})


async def test_wrong_credentials_are_refused_each_in_its_words(lab: Lab) -> None:
    """ClearML, error codes of 401: 10 bad type, 20 none, 21 malformed, 22 wrong, 30 a token that is none."""
    client = await lab.client()
    key, secret = client.keys

    def basic(text: str) -> str:
        return f"Basic {base64.b64encode(text.encode()).decode()}"

    hub = (await lab.gates.credential("stencila", f"hub-{lab.mark}"))["token"]
    strange = f"{client.token.rsplit('.', 1)[0]}.{'A' * 43}"
    for header, subcode in (
        ("", 20),
        ("Digest x", 10),
        ("Basic %%%", 21),
        (basic(key), 21),
        (basic(f"{key}:wrong"), 22),
        (basic(f"nobody:{secret}"), 22),
        ("Bearer x", 30),
        ("Bearer a.b.c", 30),
        (f"Bearer {hub}", 30),
        (f"Bearer {strange}", 30),
        (f"Bearer {changed(client.token, exp=time.time() - 1)}", 30),
        (f"Bearer {changed(client.token, access_key='farmhand-other')}", 30),
    ):
        answer = await lab.http.post("/workers.get_count", headers={"Authorization": header})
        assert (answer.status_code, answer.json()["meta"]["result_subcode"]) == (401, subcode), header[:20]


async def test_what_the_farm_keeps_of_a_credential_opens_nothing(lab: Lab) -> None:
    """Ours: who reads the database can make no token."""
    client = await lab.client()
    (row,) = await lab.farm.rows("SELECT digest FROM access_tokens WHERE prefix = $1", client.keys[0])
    for guess in (row["digest"].hex(), base64.urlsafe_b64encode(row["digest"]).decode().rstrip("=")):
        forged = Client(lab.http, lab.keys)
        forged.token = f"{client.token.rsplit('.', 1)[0]}.{guess}"
        assert (await forged.call("workers.get_count")).status_code == 401


async def test_a_revoked_credential_ends_its_tokens(lab: Lab) -> None:
    """ClearML, auth: 401/30 for what was revoked."""
    name = f"gone-{lab.mark}"
    client = await Client(lab.http, await lab.gates.credential("clearml", name)).login()
    async with lab.operator() as operator:
        await operator.revoke_token(name)
    while (answer := await client.call("workers.get_count")).status_code == 200:  # believed for a second
        pass
    assert (answer.status_code, answer.json()["meta"]["result_subcode"]) == (401, 30)


async def test_each_credential_is_another() -> None:
    """Ours."""
    one, two = mint("a"), mint("a")
    assert one.prefix != two.prefix
    assert one.shown["secret_key"] != two.shown["secret_key"]
