"""Flamenco 3's output-produced: what is accepted, what is refused, and what becomes of it."""

import io
from typing import Any

import httpx
import pytest
from PIL import Image

from coordinator.gateways.flamenco_v3.pictures import SIZES, smaller
from tests.gateways.flamenco_v3.client import Worker
from tests.gateways.flamenco_v3.conftest import Studio

pytestmark = pytest.mark.asyncio(loop_scope="module")


def a_picture(form: str = "PNG", size: tuple[int, int] = (2400, 1200), colour: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGBA" if form == "PNG" else "RGB", size, colour).save(out, form)
    return out.getvalue()


async def send(worker: Worker, task: str, body: Any, media_type: str = "image/png", **headers: str) -> httpx.Response:
    """Upload *body*."""
    return await worker.call(
        "POST", f"/task/{task}/output-produced", content=body, headers={"Content-Type": media_type, **headers}
    )


async def test_a_picture_becomes_the_jobs_last_in_three_sizes(studio: Studio) -> None:
    """Flamenco 3 API: taskOutputProduced, 202; fitted into 1920x1080, 600x338 and 200x112."""
    worker = await studio.awake()
    job = await studio.submit({"name": "a"})
    uuid = (await worker.given())["uuid"]
    names = "SELECT count(*) = 3 FROM outputs o JOIN tasks t ON t.id = o.task_id WHERE t.job_id = $1 AND o.stored"
    for form, colour in (("PNG", "red"), ("JPEG", "blue")):
        before = await studio.farm.rows("SELECT digest FROM outputs WHERE name = 'last-rendered.jpg'")
        answer = await send(worker, uuid, a_picture(form, colour=colour), f"image/{form.lower()}")
        assert (answer.status_code, answer.content) == (202, b"")
        await studio.farm.until(names, job)
        seen = "SELECT NOT digest = ANY($1) FROM outputs WHERE name = 'last-rendered.jpg' ORDER BY at DESC LIMIT 1"
        await studio.farm.until(seen, [row["digest"] for row in before])
        shown = await studio.http.get(f"/api/v1/jobs/{job}/picture")
        with Image.open(io.BytesIO(shown.content)) as picture:
            assert (picture.format, picture.size) == ("JPEG", (1920, 960))
            pixel = picture.convert("RGB").getpixel((10, 10))
        assert isinstance(pixel, tuple)
        assert pixel.index(max(pixel)) == (0 if colour == "red" else 2)


async def test_sizes_keep_their_shape_and_none_grows() -> None:
    for size, wanted in (((4000, 1000), [(200, 50), (600, 150), (1920, 480)]), ((100, 50), [(100, 50)] * 3)):
        made = smaller(a_picture(size=size))
        assert [name for name, _ in made] == [name for name, _ in SIZES]
        assert [Image.open(io.BytesIO(one)).size for _, one in made] == wanted


async def test_what_is_no_picture_is_refused(studio: Studio) -> None:
    """Flamenco 3 API: taskOutputProduced, 411, 413, 415; 400 and 404 as for updates."""
    worker, other = await studio.awake(), await studio.awake()
    await studio.submit({"name": "a"})
    uuid, picture = (await worker.given())["uuid"], a_picture(size=(8, 8))

    async def piecewise() -> Any:
        yield picture

    cases = {
        411: [await send(worker, uuid, piecewise()), await send(worker, uuid, b"")],
        413: [await send(worker, uuid, b"x" * (25 * 1024 * 1024 + 1))],
        415: [
            await send(worker, uuid, picture, "image/gif"),
            await send(worker, uuid, picture, ""),
            await send(worker, uuid, b"GIF89a and so on"),
            await send(worker, uuid, picture[:20]),
        ],
        409: [await send(other, uuid, picture)],
        404: [await send(worker, "00000000-0000-4000-8000-000000000000", picture)],
        400: [await send(worker, "x", picture)],
    }
    for status, answers in cases.items():
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (status, status), answer.text


async def test_more_than_three_at_once_are_too_many(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flamenco 3 API: taskOutputProduced, 429 when three are waiting; the next is accepted when one is done."""
    worker = await studio.awake()
    await studio.submit({"name": "a"})
    uuid, picture = (await worker.given())["uuid"], a_picture(size=(8, 8))
    monkeypatch.setattr("coordinator.gateways.flamenco_v3.pictures.MOST_AT_ONCE", 0)
    answer = await send(worker, uuid, picture)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
    monkeypatch.undo()
    assert (await send(worker, uuid, picture)).status_code == 202
