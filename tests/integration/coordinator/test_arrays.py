"""Arrays: what is filled in for an element is something that its worker can read."""

import hashlib
from typing import Any

import pytest

from coordinator.operations.requests import InvalidError
from tests.support.farm import Farm
from tests.support.wire import WireWorker


async def first_element(farm: Farm, **task: Any) -> Any:
    """The first element of an array of one value, as its worker is told."""
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit(task)
        return await worker.assigned()


async def test_a_number_in_the_environment_of_an_element_is_text(farm: Farm) -> None:
    environment = {"FRAME": "{{value}}", "AT": "{{index}}", "BOTH": "{{value}}/{{index}}"}
    element = await first_element(farm, array={"values": [7]}, environment=environment)
    assert element.environment == {"FRAME": "7", "AT": "0", "BOTH": "7/0"}


async def test_an_element_that_is_promoted_to_its_number_is_promoted(farm: Farm) -> None:
    element = await first_element(farm, array={"values": [7]}, promote="{{value}}")
    assert element.promote == "7"


@pytest.mark.parametrize(
    ("name", "value", "seen"),
    [
        ("{{value}}", 7, "7"),
        ("{{index}}", 7, "0"),
        ("f-{{value.lens}}", {"lens": "wide"}, "f-wide"),
        ("x" * 200, 7, "x" * 200 + "[0]"),
    ],
)
async def test_an_element_has_a_name_that_is_text(farm: Farm, name: str, value: object, seen: str) -> None:
    assert (await first_element(farm, name=name, array={"values": [value]})).name == seen


async def test_an_array_whose_values_lead_out_of_the_publish_root_is_refused(farm: Farm) -> None:
    with pytest.raises(InvalidError, match="'../../etc' is not a relative path below its root|cannot be promoted"):
        await farm.submit({"array": {"values": ["fine", "../../etc"]}, "promote": "shots/{{value}}"})


async def test_many_long_tags_and_labels_are_requirements_like_any_others(farm: Farm) -> None:
    words = [hashlib.sha256(bytes([number])).hexdigest() for number in range(64)]
    job = await farm.submit({"tags": words[:32], "labels": words[32:]})
    assert job.created
