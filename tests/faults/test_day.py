"""A short day of `make day`: too short to judge sizes by, long enough that what is old must have gone."""

import sys
from asyncio.subprocess import PIPE, STDOUT, create_subprocess_exec

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.extensive, pytest.mark.timeout(900)]


async def test_a_short_day_completes_its_tasks_and_what_is_old_is_gone() -> None:
    words = ("--hours", "6", "--scale", "0.05", "--unjudged")
    proof = await create_subprocess_exec(
        *(sys.executable, "-m", "coordinator.proof.day", *words), stdout=PIPE, stderr=STDOUT
    )
    said = (await proof.communicate())[0].decode()

    assert proof.returncode == 0, said
    assert said.splitlines()[-1].startswith("2,500 tasks, 12,500 heartbeats in "), said
    assert said.splitlines()[-1].endswith(" 0 wrong"), said
