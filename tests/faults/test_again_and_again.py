"""A coordinator is killed every five seconds for two minutes, under load: throughput falls, correctness does not."""

import re
import sys
from asyncio.subprocess import PIPE, STDOUT, create_subprocess_exec

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.extensive, pytest.mark.timeout(900)]


async def test_coordinators_that_are_killed_again_and_again_lose_nothing_and_do_nothing_twice() -> None:
    words = ("--only", "killed every 5 s", "--runs", "1", "--seed", "1")
    proof = await create_subprocess_exec(
        *(sys.executable, "-m", "coordinator.proof.faults", *words), stdout=PIPE, stderr=STDOUT
    )
    said = (await proof.communicate())[0].decode()

    assert proof.returncode == 0, said
    assert said.splitlines()[-1] == "1 runs, 0 lost, 0 accepted twice, 0 exclusive overlaps"
    cost = re.search(r"(\d+) tasks/s undisturbed, (\d+) tasks/s with 24 kills in 120 s", said)
    assert cost is not None, said
    assert int(cost[2]) > 0, "work went on all the while"
