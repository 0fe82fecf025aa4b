"""Copies of outputs: stored once, whole and verified, or not at all."""

import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from coordinator.api.outputs import MAX_OUTPUT_BYTES
from coordinator.client import AsyncFarmhandClient, FarmhandError
from coordinator.operations.requests import ConflictError, RecordOutput
from schemas.task import OutputFile
from tests.integration.api.conftest import Inbox
from tests.integration.api.rows import Rows

PICTURE = b"\x89PNG" + bytes(range(256)) * 10_000


@pytest.fixture
async def url(rows: Rows) -> str:
    """Where the outputs of an attempt go."""
    (task,) = await rows.tasks(await rows.job(), ["running"])
    await rows.attempt(task)
    return f"tasks/{task}/attempts/1/outputs/"


def headers(content: bytes, **more: str) -> dict[str, str]:
    """What an agent says of its file."""
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return {"Digest": f"sha-256={digest}", "X-Farmhand-Worker": "node-1", "Content-Type": "image/png"} | more


def files(directory: Path) -> list[str]:
    """What lies below *directory*."""
    return sorted(path.name for path in directory.rglob("*") if path.is_file())


async def test_an_output_is_stored_by_its_digest_recorded_and_served(
    http: httpx.AsyncClient, client: AsyncFarmhandClient, rows: Rows, inbox: Inbox, url: str, tmp_path: Path
) -> None:
    answer = await http.put(url + "shots/a%20b.png", content=PICTURE, headers=headers(PICTURE))

    digest = hashlib.sha256(PICTURE).hexdigest()
    file = OutputFile(name="shots/a b.png", size=len(PICTURE), digest=digest, media_type="image/png", stored=True)
    assert answer.status_code == 201
    task = int(url.split("/")[1])
    assert inbox.asked == [RecordOutput(task, 1, "node-1", file)]
    assert files(tmp_path / "blobs") == [digest]
    await rows.insert("outputs", task_id=task, attempt=1, **file.model_dump())
    got = await http.get(url + "shots/a%20b.png")
    assert got.content == PICTURE
    told = ("content-type", "x-content-type-options", "content-security-policy")
    assert [got.headers[name] for name in told] == ["image/png", "nosniff", "sandbox"]
    assert await client.output(task, 1, "shots/a b.png") == PICTURE


async def test_the_last_picture_of_a_job_is_its_newest_copy_of_one(
    http: httpx.AsyncClient, client: AsyncFarmhandClient, rows: Rows, url: str
) -> None:
    task = int(url.split("/")[1])
    job = (await client.task(task)).job
    with pytest.raises(FarmhandError, match=r"has no picture here: .*upload"):
        await client.picture(job)
    for second, (name, content, media_type, stored) in enumerate(
        [
            ("frame-1.png", PICTURE, "image/png", True),
            ("frame-2.png", PICTURE[:1000], "image/png", True),
            ("frame-3.png", PICTURE[:2000], "image/png", False),
            ("notes.txt", b"words", "text/plain", True),
        ]
    ):
        await http.put(url + name, content=content, headers=headers(content))
        digest = hashlib.sha256(content).hexdigest()
        file = OutputFile(name=name, size=len(content), digest=digest, media_type=media_type, stored=stored)
        at = datetime(2026, 1, 1, 12, 0, second, tzinfo=UTC)
        await rows.insert("outputs", task_id=task, attempt=1, at=at, **file.model_dump())
    assert await client.picture(job) == PICTURE[:1000]
    got = await http.get(f"jobs/{job}/picture")
    told = ("content-type", "x-farmhand-task", "x-farmhand-attempt", "content-security-policy", "content-disposition")
    assert [got.headers[name] for name in told] == [
        *("image/png", str(task), "1", "sandbox", 'inline; filename="frame-2.png"')
    ]


async def test_what_is_not_as_announced_leaves_nothing_behind(
    http: httpx.AsyncClient, inbox: Inbox, url: str, tmp_path: Path
) -> None:
    wrong = headers(b"other")
    missing = {name: value for name, value in headers(b"x").items() if name != "Digest"}
    malformed = headers(b"x", Digest="sha-256=abc")

    async def endless() -> AsyncIterator[bytes]:
        yield b"x"

    answers = [
        await http.put(url + "a", content=b"x", headers=wrong),
        await http.put(url + "a", content=b"x", headers=missing),
        await http.put(url + "a", content=b"x", headers=malformed),
        await http.put(url + "a", content=endless(), headers=headers(b"x")),
        await http.put(url + "a", content=b"x", headers=headers(b"x") | {"Content-Length": str(MAX_OUTPUT_BYTES + 1)}),
        await http.put(url + "../../a", content=b"x", headers=headers(b"x")),
        await http.put(url + "%2e%2e/a", content=b"x", headers=headers(b"x")),
        await http.put(url + "a%1bb", content=b"x", headers=headers(b"x")),
    ]

    assert [answer.status_code for answer in answers] == [400, 400, 400, 411, 413, 404, 422, 422]
    assert all(answer.headers["content-type"] == "application/problem+json" for answer in answers)
    assert inbox.asked == []
    assert files(tmp_path / "blobs") == []


async def test_only_the_attempts_own_worker_may_upload(http: httpx.AsyncClient, inbox: Inbox, url: str) -> None:
    other = await http.put(url + "a", content=b"x", headers=headers(b"x") | {"X-Farmhand-Worker": "node-2"})
    nobody = await http.put(url.replace("attempts/1", "attempts/2") + "a", content=b"x", headers=headers(b"x"))
    unnamed = await http.put(url + "a", content=b"x")

    assert (other.status_code, nobody.status_code, unnamed.status_code) == (409, 404, 422)
    assert other.json()["detail"].endswith("belongs to worker node-1")
    assert unnamed.json()["field"] == "X-Farmhand-Worker"
    assert inbox.asked == []


async def test_what_the_writer_refuses_is_refused(http: httpx.AsyncClient, inbox: Inbox, url: str) -> None:
    inbox.answer = ConflictError("attempt 1 has ended")

    answer = await http.put(url + "a", content=b"x", headers=headers(b"x"))

    assert (answer.status_code, answer.json()["detail"]) == (409, "attempt 1 has ended")


async def test_the_same_bytes_are_stored_once(http: httpx.AsyncClient, url: str, tmp_path: Path) -> None:
    for name in ("a", "b", "a"):
        answer = await http.put(url + name, content=b"x", headers=headers(b"x"))
        assert answer.status_code == 201

    assert files(tmp_path / "blobs") == [hashlib.sha256(b"x").hexdigest()]


async def test_an_output_that_lies_elsewhere_says_where(client: AsyncFarmhandClient, rows: Rows, url: str) -> None:
    task = int(url.split("/")[1])
    await rows.insert("outputs", task_id=task, attempt=1, name="big", size=9, digest="0" * 64, location="//nas/big")

    with pytest.raises(FarmhandError, match="it lies at //nas/big"):
        await client.output(task, 1, "big")


async def test_a_media_type_that_is_none_is_not_passed_on(
    http: httpx.AsyncClient, rows: Rows, inbox: Inbox, url: str
) -> None:
    await http.put(url + "a", content=b"x", headers=headers(b"x"))
    file = inbox.asked[0].file.model_dump() | {"media_type": "text/html\r\nX-Evil: 1"}
    await rows.insert("outputs", task_id=int(url.split("/")[1]), attempt=1, **file)

    answer = await http.get(url + "a")

    assert answer.headers["content-type"] == "application/octet-stream"


async def test_a_full_disk_is_said_and_loses_nothing(
    http: httpx.AsyncClient, inbox: Inbox, url: str, tmp_path: Path, full_disk: None
) -> None:
    del full_disk
    answer = await http.put(url + "a", content=PICTURE, headers=headers(PICTURE))

    assert answer.status_code == 507
    assert answer.json()["detail"] == "the coordinator's disk is full: free space, then upload again"
    assert inbox.asked == []
    assert files(tmp_path / "blobs") == []


@pytest.fixture
def full_disk() -> object:
    """No file may grow beyond 64 KiB, as on a disk that is full."""
    import resource  # noqa: PLC0415
    import signal  # noqa: PLC0415

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)
