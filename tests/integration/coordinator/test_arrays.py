"""Arrays: what is filled in for an element is something that its worker can read."""

import hashlib
from typing import Any

import pytest

from tests.support.farm import Farm
from tests.support.wire import WireWorker


async def first_element(farm: Farm, **task: Any) -> Any:
    """The first element of an array of one value, as its worker is told."""
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit(task)
        return await worker.assigned()


FILLED = pytest.mark.xfail(reason="an element whose filled-in parts are no texts stops all assignment")


@FILLED
async def test_a_number_in_the_environment_of_an_element_is_text(farm: Farm) -> None:
    environment = {"FRAME": "{{value}}", "AT": "{{index}}", "BOTH": "{{value}}/{{index}}"}
    element = await first_element(farm, array={"values": [7]}, environment=environment)
    assert element.environment == {"FRAME": "7", "AT": "0", "BOTH": "7/0"}


@FILLED
async def test_an_element_that_is_promoted_to_its_number_is_promoted(farm: Farm) -> None:
    element = await first_element(farm, array={"values": [7]}, promote="{{value}}")
    assert element.promote == "7"


@pytest.mark.parametrize(
    ("name", "value", "seen"),
    [
        pytest.param("{{value}}", 7, "7", marks=FILLED),
        pytest.param("{{index}}", 7, "0", marks=FILLED),
        ("f-{{value.lens}}", {"lens": "wide"}, "f-wide"),
        ("x" * 200, 7, "x" * 200 + "[0]"),
    ],
)
async def test_an_element_has_a_name_that_is_text(farm: Farm, name: str, value: object, seen: str) -> None:
    assert (await first_element(farm, name=name, array={"values": [value]})).name == seen


@pytest.mark.xfail(reason="what a template is filled with is not checked again")
async def test_an_element_whose_filled_in_path_would_leave_its_root_is_not_told_to_leave_it(farm: Farm) -> None:
    element = await first_element(farm, array={"values": ["../../etc"]}, promote="shots/{{value}}")
    assert ".." not in (element.promote or "")


@pytest.mark.xfail(reason="the fingerprint of a class is longer than an index entry may be")
async def test_many_long_tags_and_labels_are_requirements_like_any_others(farm: Farm) -> None:
    words = [hashlib.sha256(bytes([number])).hexdigest() for number in range(64)]
    job = await farm.submit({"tags": words[:32], "labels": words[32:]})
    assert job.created
