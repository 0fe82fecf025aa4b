"""`python -m coordinator.proof.faults`: see `--help`. Ends with 0 when nothing was lost, doubled or out of order."""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from coordinator.doctor import Doctor, Places
from coordinator.proof.faults import report
from coordinator.proof.faults.audit import Auditor, Findings, open_in_journals
from coordinator.proof.faults.catalog import FAULTS, Fault
from coordinator.proof.faults.report import Run
from coordinator.proof.faults.stage import Stage
from coordinator.proof.faults.work import TASKS, Given, a_job
from schemas.views import CheckState

_DONE: Final = "SELECT finished_at IS NOT NULL FROM jobs WHERE id = $1"
_BEGUN: Final = "SELECT n_completed >= $2 OR finished_at IS NOT NULL FROM jobs WHERE id = $1"
_PROMOTED: Final = """
SELECT NOT EXISTS (SELECT FROM tasks t JOIN specs s ON s.id = t.spec_id
                     JOIN attempts a ON a.task_id = t.id AND a.attempt = t.accepted_attempt
                    WHERE t.job_id = $1 AND s.name = 'program' AND a.promoted_at IS NULL AND a.worker_id <> ALL($2))
"""


_STORY: Final = """
SELECT at, event, task_id AS task, attempt, worker_id AS worker FROM history WHERE job_id = $1 ORDER BY id DESC LIMIT 40
"""


async def tell_story(stage: Stage, job: int) -> None:
    """Print the end of a job's history: where the time went."""
    async with stage.database() as connection:
        for row in reversed(await connection.fetch(_STORY, job)):
            print("       ", f"{row['at']:%H:%M:%S.%f}", *(word for word in list(row)[1:] if word is not None))


async def one_run(stage: Stage, auditor: Auditor, fault: Fault, number: int) -> Run:
    """Submit, hurt, wait, look."""
    stage.begin(number)
    work = a_job(number, stage.farm.path)
    job = await stage.submit(work)
    # Most of the time is taken by the programs: some faults come before they start, most while they run.
    begun = stage.chance.choice((0, 6, 12, 15, 18, 18, 19, 20, 22))
    await stage.until(_BEGUN, job, begun, within_s=60)
    undone = []
    try:
        await fault.do(stage)
    except Exception as error:  # noqa: BLE001 - a finding, and no reason to throw away all other runs
        undone = [f"the fault could not be done: {type(error).__name__}: {error}"]
    healed, given = time.monotonic(), [Given(job, number, work), *stage.given]
    for one in given:
        await stage.until(_DONE, one.job, within_s=healed + fault.patience_s - time.monotonic())
    seconds = time.monotonic() - healed
    back = await stage.whole()
    findings = Findings(others=undone)
    for one in given:
        promoted = await stage.until(_PROMOTED, one.job, stage.gone, within_s=fault.patience_s)
        findings.add(await auditor.job(one))
        findings.others += [] if promoted else ["accepted outputs were not promoted"]
    findings.add(await auditor.farm())
    findings.others += [] if back else ["the farm was not whole again"]
    return Run(fault.name, findings, seconds, job, tuple(stage.said))


async def diagnosis(stage: Stage) -> list[str]:
    """What the doctor finds wrong with a farm that has been through all of it."""
    services = stage.farm.services
    places = Places(services.database_url, services.amqp_url, services.management_url)
    found = await Doctor(places, by="the proof", version="").diagnose()
    return [f"doctor: {one.part}, {one.name}: {one.said}" for one in found.checks if one.state is CheckState.WRONG]


def order(faults: Sequence[Fault], chance: random.Random, *, runs: int | None, once: bool) -> Iterator[Fault]:
    """Each as often as it wants (or once, or until there are so many *runs*), all of them mixed."""
    mixed = [fault for fault in faults for _ in range(1 if once else fault.runs)]
    chance.shuffle(mixed)
    while runs is not None and len(mixed) < runs:
        mixed += chance.sample(list(faults), len(faults))
    yield from mixed[:runs]


async def prove(faults: Sequence[Fault], given: argparse.Namespace) -> list[Run]:
    """All runs on one farm; what the doctor and the agents' journals say at the end counts for the last one."""
    began, runs = time.monotonic(), list[Run]()
    stage = Stage(given.seed)
    async with stage:
        auditor = Auditor(stage)
        home = stage.farm.path / "agents"
        mixed = order(faults, random.Random(given.seed), runs=given.runs, once=given.short or given.first)
        for number, fault in enumerate(mixed, 1):
            if given.seconds and time.monotonic() - began > given.seconds:
                break
            run = await one_run(stage, auditor, fault, number)
            runs.append(run)
            print(f"{time.monotonic() - began:6.0f} s  {number:3d}  {run.seconds:5.1f} s  {fault.name}", flush=True)
            for word in (*run.said, *run.findings.others):
                print(f"              {word}", flush=True)
            if given.story is not None and run.seconds > given.story:
                await tell_story(stage, run.job)
        if runs:
            left = await diagnosis(stage)
            await asyncio.gather(*(part.stop() for part in stage.farm.agents.values()))
            runs[-1].findings.others += left + open_in_journals(home, stage.gone)
    return runs


def chosen(given: argparse.Namespace) -> list[Fault]:
    """The faults that were asked for."""
    some = [fault for fault in FAULTS if (fault.first or not given.first) and (fault.short or not given.short)]
    return [fault for fault in some if all(word in fault.name for word in given.only or ())]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the proof."""
    parser = argparse.ArgumentParser(prog="python -m coordinator.proof.faults", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a selection, each once")
    parser.add_argument("--first", action="store_true", help="a still shorter selection, each once")
    parser.add_argument("--only", action="append", metavar="WORDS", help="faults with these words in their name")
    parser.add_argument("--runs", type=int, help="so many runs")
    parser.add_argument("--seconds", type=float, help="begin no further run after so long")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="for the order and all choices")
    parser.add_argument("--list", action="store_true", help="list the faults")
    parser.add_argument("--story", type=float, metavar="SECONDS", help="tell what happened where a run took longer")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the report there")
    given = parser.parse_args(argv)
    faults = chosen(given)
    if given.list or not faults:
        print("\n".join(f"{fault.runs:3d}  {fault.name}" for fault in faults) or "there is no such fault")
        return 0 if given.list else 2
    began = time.monotonic()
    print(f"seed {given.seed}", file=sys.stderr)
    names = [fault.name for fault in FAULTS]
    runs = sorted(asyncio.run(prove(faults, given)), key=lambda run: names.index(run.fault))
    if given.write:
        minutes = (time.monotonic() - began) / 60
        report.write(given.write, runs, minutes=minutes, tasks=TASKS, patience_s=max(f.patience_s for f in faults))
    print(report.table(runs))
    for run in runs:
        for word in (*run.said, *run.findings.others):
            print(f"{run.fault}: {word}")
    print(report.total(runs))
    return int(any(run.findings.any for run in runs) or not runs)


if __name__ == "__main__":
    sys.exit(main())
