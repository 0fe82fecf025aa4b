"""A few faults of `make faults`, once each, on one farm: what each change of the code must stand."""

import sys
from asyncio.subprocess import PIPE, STDOUT, create_subprocess_exec

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]


async def test_a_farm_that_is_hurt_loses_nothing_and_does_nothing_twice() -> None:
    proof = await create_subprocess_exec(
        sys.executable, "-m", "coordinator.proof.faults", "--first", "--seed", "1", stdout=PIPE, stderr=STDOUT
    )
    said, _ = await proof.communicate()

    assert proof.returncode == 0, said.decode()
    assert said.decode().splitlines()[-1] == "6 runs, 0 lost, 0 accepted twice, 0 exclusive overlaps"
