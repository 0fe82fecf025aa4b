"""ClearML's workers service, operation by operation. Each case names what it was taken from."""

import asyncio
import itertools
import json
import time
from typing import Any

import pytest

from coordinator.gateways.clearml import translate
from tests.gateways.clearml.conftest import Lab

pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- register, status_report, unregister -------------------------------------------------------------------


async def test_a_worker_is_listed_from_its_registration_to_its_goodbye(lab: Lab) -> None:
    """ClearML, workers.register, get_all, unregister: present after the one, absent after the other."""
    client, worker = await lab.client(), lab.worker()
    assert worker not in await client.listed(last_seen=100)
    assert await client.done("workers.register", worker=worker, queues=[lab.queue_id], timeout=90) == {}
    entry = (await client.listed(last_seen=100))[worker]
    assert (entry["register_timeout"], entry["tags"], entry["system_tags"]) == (90, [], [])
    assert [queue["name"] for queue in entry["queues"]] == [lab.queue]
    assert not {"task", "last_report_time"} & set(entry), "an autoscaler takes these for busy, and heard"
    await client.report(worker, machine_stats=None)
    assert "last_report_time" in (await client.listed())[worker]
    row = await lab.row(worker)
    seen = (row["connection"], row["protocol"], row["lost_after_s"], row["kinds"])
    assert seen == ("online", "clearml", 90.0, ["clearml"])
    assert await client.done("workers.unregister", worker=worker) == {}
    assert worker not in await client.listed(last_seen=100)
    assert await lab.story(worker) == ["worker.online", "worker.offline"]


async def test_who_reports_without_having_registered_is_registered(lab: Lab) -> None:
    """ClearML, configuration as shipped: a report registers, a goodbye of nobody is no error; agents rely on both."""
    client, worker = await lab.client(), lab.worker("child")
    assert await client.done("workers.unregister", worker=worker) == {}
    await client.report(worker, tags=["red"], machine_stats={"cpu_usage": [0]})
    entry = (await client.listed())[worker]
    assert (entry["tags"], entry["register_timeout"], entry["queues"]) == (["red"], 600, [])


async def test_queues_keep_their_order_and_what_a_report_leaves_out_stays(lab: Lab) -> None:
    """ClearML, status_report: "new tags", "if null, the queues will not be updated"; theirs forgets the order, and
    wipes tags by a report without them."""
    client, worker = await lab.client(), lab.worker()
    queues = [f"{one}-{lab.mark}" for one in ("zebra", "ant", "mule")]
    ids = [translate.queue_id(one) for one in queues]
    await client.done("workers.register", worker=worker, queues=ids, tags=["a"], system_tags=["s"])
    nothing: list[dict[str, Any]] = [{}, {"tags": None, "queues": None, "machine_stats": None}, {"queues": []}]
    for said in nothing:
        await client.report(worker, **said)
        entry = (await client.listed())[worker]
        assert [queue["name"] for queue in entry["queues"]] == queues
        assert (entry["tags"], entry["system_tags"]) == (["a"], ["s"])
    await client.report(worker, tags=["b"], queues=ids[:1], queue=ids[0])
    entry = (await client.listed())[worker]
    assert (entry["tags"], entry["system_tags"], entry["queue"]["name"]) == (["b"], ["s"], queues[0])
    assert [queue["name"] for queue in entry["queues"]] == queues[:1]
    await client.report(worker)
    assert (await client.listed())[worker]["queue"] is None, "absent: cleared"
    await client.done("workers.register", worker=worker)
    assert (await client.listed())[worker]["tags"] == [], "to register again says all anew"


async def test_what_cannot_be_registered_is_refused_with_its_code(lab: Lab) -> None:
    """ClearML, error codes: 12 validation, 101 task, 701 queue, 1002 registration."""
    client, worker = await lab.client(), lab.worker()
    cases: list[tuple[str, dict[str, Any], tuple[int, int]]] = [
        ("workers.register", {}, (400, 12)),
        ("workers.register", {"worker": ""}, (400, 12)),
        ("workers.register", {"worker": "a\nb"}, (400, 12)),
        ("workers.register", {"worker": worker, "timeout": "soon"}, (400, 12)),
        ("workers.register", {"worker": worker, "timeout": -1}, (400, 1002)),
        ("workers.register", {"worker": worker, "queues": [lab.queue_id, "nowhere"]}, (400, 701)),
        ("workers.status_report", {"worker": worker}, (400, 12)),
        ("workers.status_report", {"timestamp": 1}, (400, 12)),
        ("workers.status_report", {"worker": worker, "timestamp": 1, "task": "x"}, (400, 101)),
        ("workers.status_report", {"worker": worker, "timestamp": 1, "machine_stats": {"cpu_usage": "x"}}, (400, 12)),
        ("workers.unregister", {}, (400, 12)),
        ("workers.get_all", {"last_seen": -1}, (400, 12)),
        ("workers.get_count", {"tags": {"a": 1}}, (400, 12)),
        ("workers.get_metric_keys", {"worker_ids": [worker]}, (400, 1005)),
        ("workers.get_metric_keys", {"worker_ids": 5.5e300}, (400, 1005)),
    ]
    for endpoint, said, code in cases:
        assert await client.code(endpoint, **said) == code, (endpoint, said)
    answer = await client.call("workers.register", worker=worker, queues=[lab.queue_id, "nowhere"])
    assert answer.json()["meta"]["error_data"] == {"ids": ["nowhere"]}
    assert worker not in await client.listed()


async def test_what_is_null_or_nought_is_as_if_it_were_missing(lab: Lab) -> None:
    """ClearML, register: a time-out of 0 is the usual one, null is no value; fields that nobody knows are ignored."""
    client, worker = await lab.client("render-box"), lab.worker()
    nothing: list[dict[str, Any]] = [
        {"timeout": 0}, {"timeout": None, "queues": None, "tags": None, "system_tags": None}, {"resources": {"x": 1}},
    ]  # fmt: skip
    for said in nothing:
        await client.done("workers.register", worker=worker, **said)
        entry = (await client.listed())[worker]
        assert (entry["register_timeout"], entry["queues"], entry["tags"], entry["system_tags"]) == (600, [], [], [])
        assert (entry["ip"], entry["id"]) == ("127.0.0.1", worker)
    assert json.loads((await lab.row(worker))["platform"])["hostname"] == "render-box", "X-ClearML-Worker is a machine"


async def test_a_report_of_a_strange_task_is_refused_but_its_worker_lives(lab: Lab) -> None:
    """ClearML, status_report: 101, and its worker is there "even if an error occurred"; who is not known stays so."""
    client, worker, name = await lab.client(), lab.worker(), translate.name_of(lab.worker())
    await client.done("workers.register", worker=worker)
    sql = "UPDATE worker_liveness SET last_seen_at = farm_now() - interval '5 minutes' WHERE worker_id = $1"
    await lab.farm.rows(sql, name)
    assert worker not in await client.listed(last_seen=100)
    now = int(time.time())
    assert await client.code("workers.status_report", worker=worker, timestamp=now, task="x") == (400, 101)
    assert worker in await client.listed(last_seen=100)
    stranger = lab.worker("stranger")
    assert await client.code("workers.status_report", worker=stranger, timestamp=now, task="x") == (400, 101)
    assert stranger not in await client.listed()


async def test_a_wrong_clock_hides_nobody_and_moves_no_chart(lab: Lab) -> None:
    """ClearML, status_report: its timestamp is the worker's, in seconds by the documents, in milliseconds by agents,
    and theirs keeps figures under it, whatever it is."""
    client = await lab.client()
    now = int(time.time())
    clocks = {
        "epoch": 0,
        "seconds": now,
        "slow": (now - 86400) * 1000,
        "fast": (now + 10 * 86400) * 1000,
        "odd": 10**15,
    }
    for name, timestamp in clocks.items():
        said = {"worker": lab.worker(name), "timestamp": timestamp, "machine_stats": {"cpu_usage": [7]}}
        await client.done("workers.status_report", **said)
    assert {lab.worker(name) for name in clocks} <= set(await client.listed(last_seen=100))
    for name in clocks:
        (metric,) = await figures(client, lab.worker(name), items=[{"key": "cpu_usage"}])
        assert metric["stats"][0]["values"] == [7.0], name
    assert await client.code("workers.status_report", worker=lab.worker("odd"), timestamp=-1) == (400, 12)


async def test_a_report_that_was_under_way_does_not_bring_back_who_said_goodbye(lab: Lab) -> None:
    """clearml-agent: its monitor goes on while it unregisters; theirs lists such a worker for ten minutes more."""
    client, worker = await lab.client(), lab.worker()
    await client.done("workers.register", worker=worker)
    await client.done("workers.unregister", worker=worker)
    await client.report(worker)
    assert worker not in await client.listed()
    assert await lab.story(worker) == ["worker.online", "worker.offline"]
    await client.done("workers.register", worker=worker)
    assert worker in await client.listed(), "to register is to be there at once"


async def test_who_is_silent_for_its_time_is_lost_as_an_event_and_its_task_given_to_another(lab: Lab) -> None:
    """ClearML, register: "automatically removed"; theirs forgets it silently, and its task is never run again."""
    client, other = await lab.client(), await lab.client()
    lost, spare = lab.worker("lost"), lab.worker("spare")
    await client.done("workers.register", worker=lost, queues=[lab.queue_id], timeout=60)
    await other.done("workers.register", worker=spare, queues=[lab.queue_id], timeout=600)
    job = await lab.submit("a")
    task = (await client.done("queues.get_next_task", queue=lab.queue_id))["entry"]["task"]
    await client.done("tasks.started", task=task, status_message="pulled by agent", force=True)
    assert await other.done("queues.get_next_task", queue=lab.queue_id) == {}
    await lab.gates.silent(translate.name_of(lost), 61)
    assert lost not in await client.listed(last_seen=0)
    await lab.farm.until("SELECT connection = 'lost' FROM workers WHERE id = $1", translate.name_of(lost))
    assert (await lab.story(lost))[-1] == "worker.lost"
    async with asyncio.timeout(60):
        while not (again := await other.done("queues.get_next_task", queue=lab.queue_id)):
            await lab.farm.rows("SELECT pg_sleep(0.1)")
    assert again["entry"]["task"] != task
    assert await client.code("tasks.completed", task=task) == (400, 110), "what comes late revives nothing"
    await other.done("tasks.completed", task=again["entry"]["task"])
    await lab.farm.until("SELECT state = 'completed' FROM tasks WHERE job_id = $1", job)
    await client.report(lost)
    assert (await lab.row(lost))["connection"] == "online", "the next word brings it back"


async def test_of_two_agents_under_one_id_the_later_login_is_the_worker(lab: Lab) -> None:
    """clearml-helm-charts#316: two agents of one id took turns; here the one is replaced, and told."""
    first, second, worker = await lab.client(), await lab.client(), lab.worker()
    await first.done("workers.register", worker=worker, queues=[lab.queue_id])
    await lab.submit("a")
    task = (await first.done("queues.get_next_task", queue=lab.queue_id))["entry"]["task"]
    await second.done("workers.register", worker=worker, queues=[lab.queue_id])
    now = int(time.time())
    assert await first.code("workers.status_report", worker=worker, timestamp=now) == (400, 1001)
    assert await first.code("queues.get_next_task", queue=lab.queue_id) == (400, 1004)
    (shown,) = (await first.done("tasks.get_all", id=[task]))["tasks"]
    assert shown["status"] == "stopped", "so the first agent ends it"
    assert await first.done("workers.unregister", worker=worker) == {}
    assert worker in await second.listed()
    assert (await second.done("queues.get_next_task", queue=lab.queue_id))["entry"]["task"] != task
    again = await lab.client()
    await again.report(worker)
    assert (await again.done("queues.get_next_task", queue=lab.queue_id))["entry"], "a login anew, and it goes on"


# --- get_all, get_count ------------------------------------------------------------------------------------


async def test_filters_are_or_within_a_kind_minus_what_is_barred_and_and_between_kinds(lab: Lab) -> None:
    """ClearML, get_all: tags, system_tags; the same for get_count."""
    client, mark = await lab.client(), lab.mark
    tags: dict[str, tuple[list[str], list[str]]] = {
        "x": (["application", mark], ["sys"]),
        "y": (["test", mark], []),
        "z": ([mark], ["sys", "old"]),
    }
    ids = {name: lab.worker(name) for name in tags}
    for name, (plain, system) in tags.items():
        await client.done("workers.register", worker=ids[name], tags=plain, system_tags=system)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"tags": [mark]}, "xyz"),
        ({"tags": ["application", "test"], "worker_pattern": f"*{mark}*"}, "xy"),
        ({"tags": [mark, "-application"]}, "yz"),
        ({"tags": ["-application", "-test"], "worker_pattern": f"?-{mark}:0"}, "z"),
        ({"tags": [mark], "system_tags": ["sys"]}, "xz"),
        ({"tags": [mark], "system_tags": ["sys", "-old"]}, "x"),
        ({"tags": [mark], "system_tags": ["-sys"]}, "y"),
        ({"tags": [f"-{mark}"], "worker_pattern": f"*{mark}*"}, ""),
        ({"tags": None, "system_tags": [], "worker_pattern": f"[xy]-{mark}*"}, ""),
    ]
    for said, expected in cases:
        assert {*(await client.listed(**said))} == {ids[one] for one in expected}, said
        assert (await client.done("workers.get_count", **said))["count"] == len(expected), said
    await client.done("workers.unregister", worker=ids["y"])
    assert await client.done("workers.get_count", tags=[mark]) == {"count": 2}, "theirs counts it until it would expire"


async def test_last_seen_is_an_hour_for_the_list_and_nothing_for_the_count(lab: Lab) -> None:
    """ClearML, get_all: default 3600, 0 or null for all; get_count: default 0."""
    client, worker = await lab.client(), lab.worker()
    tagged = {"tags": [lab.mark]}
    await client.done("workers.register", worker=worker, timeout=86400, **tagged)
    assert (await client.done("workers.get_count", **tagged, last_seen=4))["count"] == 1
    await lab.farm.rows(
        "UPDATE worker_liveness SET last_seen_at = farm_now() - interval '2 hours' WHERE worker_id = $1",
        translate.name_of(worker),
    )
    assert worker not in await client.listed(**tagged)
    for last_seen in (0, None, 7300):
        assert worker in await client.listed(**tagged, last_seen=last_seen)
    assert (await client.done("workers.get_count", **tagged))["count"] == 1
    assert (await client.done("workers.get_count", **tagged, last_seen=4))["count"] == 0


# --- figures -----------------------------------------------------------------------------------------------


async def figures(client: Any, worker: str, **said: Any) -> list[dict[str, Any]]:
    """What get_stats says of one worker, in the last and the next minute."""
    now = time.time()
    span = {"from_date": now - 60, "to_date": now + 60, "interval": 240, "worker_ids": [worker]} | said
    workers = (await client.done("workers.get_stats", **span))["workers"]
    assert [one["worker"] for one in workers] in ([], [worker])
    return workers[0]["metrics"] if workers else []


async def test_figures_are_kept_with_zeros_and_summed_up_as_asked(lab: Lab) -> None:
    """ClearML, get_metric_keys, get_stats; theirs drops zeros, reads only one of two names of a field, and shows ten
    workers at most."""
    client, worker, idle = await lab.client(), lab.worker(), lab.worker("idle")
    await client.report(worker, machine_stats={"cpu_usage": [10, 20], "memory_used": 50, "network_tx": 0.1})
    await client.report(worker, machine_stats={"cpu_usage": [30, 40], "memory_used": 70})
    await client.report(idle, machine_stats={"cpu_usage": [0.0], "memory_used": 0})
    keys = (await client.done("workers.get_metric_keys", worker_ids=[worker, idle]))["categories"]
    assert keys == [
        {"name": "cpu", "metric_keys": ["cpu_usage"]},
        {"name": "memory", "metric_keys": ["memory_used"]},
    ]
    items = [
        {"key": "cpu_usage"},
        {"key": "cpu_usage", "aggregation": "max"},
        {"key": "cpu_usage", "category": "min"},
        {"key": "memory_used", "aggregation": "avg"},
        {"key": "gpu_usage"},
    ]
    cpu, memory = await figures(client, worker, items=items)
    assert {one["aggregation"]: one["values"] for one in cpu["stats"]} == {"avg": [25.0], "max": [40.0], "min": [10.0]}
    assert memory["stats"][0]["values"] == [60.0]
    (date,) = cpu["dates"]
    assert cpu["stats"][0]["dates"] == [date]
    assert date % 240_000 == 0
    assert abs(date / 1000 - time.time()) < 600, "milliseconds"
    cores = await figures(client, worker, items=items[:1], split_by_variant=True)
    assert {one["variant"]: one["stats"][0]["values"] for one in cores} == {"0": [20.0], "1": [30.0]}
    (whole,) = await figures(client, worker, items=items[3:4], split_by_variant=True)
    assert whole["variant"] == "total"
    assert [one["stats"][0]["values"] for one in await figures(client, idle, items=items[:1])] == [[0.0]]
    assert await figures(client, lab.worker("nobody"), items=items) == []
    row = await lab.row(worker)
    assert json.loads(row["stats"])["memory_used"] == 70 * 2**20, (
        "as our own agents' figures: farmhand workers shows them"
    )


async def test_more_than_ten_workers_are_shown(lab: Lab) -> None:
    """ClearML's store of figures answers with ten, whoever asks for more."""
    client = await lab.client()
    workers = [lab.worker(f"many{number:02}") for number in range(12)]
    for worker in workers:
        await client.report(worker, machine_stats={"cpu_usage": [1]})
    now = time.time()
    said = {"from_date": now - 60, "to_date": now + 60, "interval": 60, "items": [{"key": "cpu_usage"}]}
    found = await client.done("workers.get_stats", worker_ids=workers, **said)
    assert [one["worker"] for one in found["workers"]] == workers


async def test_questions_that_make_no_sense_are_refused(lab: Lab) -> None:
    """ClearML, get_stats, get_activity_report: 16 for dates in the wrong order; items must be there."""
    client = await lab.client()
    good: dict[str, Any] = {"from_date": 1000, "to_date": 2000, "interval": 10}
    cases: list[tuple[dict[str, Any], tuple[int, int]]] = [
        ({}, (200, 0)),
        ({"to_date": 1000}, (400, 16)),
        ({"to_date": 10**11, "interval": 1}, (400, 16)),
        ({"interval": 0}, (400, 12)),
        ({"from_date": -1}, (400, 12)),
        ({"from_date": None}, (400, 12)),
    ]
    for change, code in cases:
        assert await client.code("workers.get_activity_report", **good | change) == code, change
        assert await client.code("workers.get_stats", items=[{"key": "x"}], **good | change) == code, change
    assert await client.code("workers.get_stats", items=[], **good) == (400, 12)
    assert await client.code("workers.get_stats", items=[{"key": "x", "aggregation": "sum"}], **good) == (400, 16)


async def test_where_an_interval_is_rounded_up_the_dates_say_so(lab: Lab) -> None:
    """ClearML, get_stats, get_activity_report: theirs rounds up to 40 s at least; here to what is kept."""
    client, worker = await lab.client(), lab.worker()
    await client.report(worker, machine_stats={"cpu_usage": [1]})
    now = time.time()
    for since, interval, expected in ((now - 3 * 86400, 700, 900), (now - 600, 7, 7), (now - 40 * 86400, 86000, 86400)):
        span = {"from_date": since, "to_date": now + 60, "interval": interval}
        found = await client.done("workers.get_activity_report", **span)
        dates = found["total"]["dates"]
        assert {two - one for one, two in itertools.pairwise(dates)} == {1000 * expected}
        assert dates[0] % (1000 * expected) == 0
        said = {**span, "worker_ids": [worker], "items": [{"key": "cpu_usage"}]}
        (one,) = (await client.done("workers.get_stats", **said))["workers"]
        assert [date % (1000 * expected) for date in one["metrics"][0]["dates"]] == [0]


async def test_the_activity_report_counts_who_reports_and_who_has_a_task(lab: Lab) -> None:
    """ClearML, get_activity_report: two workers, one of them with a task; complete intervals only. Theirs counts none
    that sends no figures."""
    busy, idle = await lab.client(), await lab.client()
    await lab.submit("a")
    await busy.done("workers.register", worker=lab.worker("busy"), queues=[lab.queue_id])
    task = (await busy.done("queues.get_next_task", queue=lab.queue_id))["entry"]["task"]
    await busy.done("tasks.started", task=task)
    await busy.report(lab.worker("busy"), task=task)
    await idle.report(lab.worker("idle"))
    entry = (await busy.listed())[lab.worker("busy")]
    assert (entry["task"]["id"], entry["task"]["name"]) == (task, "a")
    assert 0 <= entry["task"]["running_time"] < 10**6, "milliseconds"
    assert entry["project"]["id"].isdigit()
    (queue,) = entry["queues"]
    assert queue == {"id": lab.queue_id, "name": lab.queue, "display_name": lab.queue, "num_tasks": 0}
    now = time.time()
    found = await busy.done("workers.get_activity_report", from_date=now - 3600, to_date=now + 3600, interval=600)
    total, active = found["total"], found["active"]
    assert len(total["dates"]) == len(total["counts"]) == len(active["counts"]) == 12
    assert total["dates"] == active["dates"]
    assert max(active["counts"]) >= 1
    assert max(total["counts"]) > max(active["counts"])


# --- how it is called --------------------------------------------------------------------------------------


async def test_any_method_version_and_form_of_a_call_is_the_same(lab: Lab) -> None:
    """ClearML, transport: the method is ignored, agents send GET with a body; fields in the query, too."""
    client, worker = await lab.client(), lab.worker()
    for method, path in (
        ("GET", "workers.register"),
        ("POST", "v2.5/workers.register/"),
        ("PUT", "v2.29/workers.register"),
    ):
        answer = await client.call(path, method, worker=worker, tags=["t"])
        assert answer.status_code == 200, answer.text
        meta = answer.json()["meta"]
        assert meta["endpoint"]["name"] == "workers.register"
        assert meta["endpoint"]["requested_version"] == ("2.5" if "v2.5" in path else "2.29"), "a text"
        assert (meta["result_code"], meta["result_subcode"], meta["result_msg"]) == (200, 0, "OK")
        assert answer.json()["data"] == {}, "never null: the agent would take that for no answer"
    headers = {"Authorization": f"Bearer {client.token}", "X-ClearML-Trx": "a" * 32}
    asked = await lab.http.get(f"/workers.get_count?tags[]=t&worker_pattern={worker}", headers=headers)
    assert (asked.json()["data"], asked.json()["meta"]["trx"]) == ({"count": 1}, "a" * 32)
    text = await lab.http.post("/workers.get_count", content=b'{"tags": ["t"]}', headers=headers)
    assert text.json()["data"]["count"] >= 1, "a body is JSON, whatever its header says"


async def test_what_is_not_there_and_what_is_no_call_is_told_in_the_envelope(lab: Lab) -> None:
    """ClearML, transport: 404 for an endpoint or version that is not there, 400/2 for no version, 415 in plain text."""
    client = await lab.client()
    for path, code in (
        ("workers.get_runtime_properties", (404, 0)),
        ("users.get_vaults", (404, 0)),
        ("v2.25/workers.get_count", (404, 0)),
        ("v2.14/queues.get_num_entries", (404, 0)),
        ("auth.logout", (404, 0)),
        ("v9/workers.get_all", (400, 2)),
    ):
        assert await client.code(path) == code
    headers = {"Authorization": f"Bearer {client.token}"}
    for content in (b"{", b"[]", b"null", b'{"worker": "\\u0000"}', b"[" * 100_000):
        answer = await lab.http.post("/workers.get_all", content=content, headers=headers)
        assert (answer.status_code, answer.json()["meta"]["result_subcode"]) == (400, 12), content[:40]
    assert (await lab.http.post("/workers.get_all", content=b" " * 300_000, headers=headers)).status_code == 413
    packed = await lab.http.post("/workers.get_all", content=b"x", headers={**headers, "Content-Encoding": "gzip"})
    assert (packed.status_code, packed.headers["content-type"]) == (415, "text/plain; charset=utf-8")
