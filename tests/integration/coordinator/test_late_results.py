"""Results that come when their attempt was given up."""

from pathlib import Path

from schemas.task import Held, Outcome, Phase, TaskFinished, Verdict, Verdicts
from tests.support import agents
from tests.support.farm import Farm, running
from tests.support.wire import WireWorker
from worker_agent import config


async def _given_away(farm: Farm, first: WireWorker, **job: str) -> int:
    """A task that *first* ran when it fell silent and was lost; its number."""
    await first.online()
    await farm.submit({"name": "slow"}, {"name": "next", "after": ["slow"]}, **job)
    attempt = await first.assigned()
    await first.start(attempt)
    await farm.until("SELECT state = 'running' FROM tasks WHERE id = $1", attempt.task)
    await _lose(farm, first)
    await farm.until("SELECT ending = 'lost' FROM attempts WHERE task_id = $1 AND attempt = 1", attempt.task)
    return attempt.task


async def _lose(farm: Farm, worker: WireWorker) -> None:
    """As if it had been silent for too long."""
    await farm.rows("UPDATE coordinators SET listening_since = farm_now() - interval '1 hour'")
    await farm.rows(
        "UPDATE worker_liveness SET last_seen_at = farm_now() - interval '31 s' WHERE worker_id = $1", worker.name
    )
    await farm.until("SELECT connection = 'lost' FROM workers WHERE id = $1", worker.name)


async def _report(worker: WireWorker, task: int) -> Verdict:
    await worker.say(TaskFinished(task=task, attempt=1, outcome=Outcome.COMPLETED, result="six hours of work"))
    command = await worker.hear(lambda one: one.type == "verdict")
    verdict: Verdict = command.verdicts[0].verdict
    return verdict


async def test_a_late_result_is_rejected_by_default_and_the_task_goes_on(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as late, WireWorker(farm.amqp_url, "node-2") as other:
        task = await _given_away(farm, late)
        await other.online()
        again = await other.assigned()

        assert await _report(late, task) is Verdict.SUPERSEDED

        assert (again.task, again.attempt, await farm.state(task)) == (task, 2, "assigned")
        await other.finish(again)
        assert await other.verdict(again) is Verdict.ACCEPTED


async def test_a_late_result_is_accepted_while_the_task_waits(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as late:
        task = await _given_away(farm, late, late_results="accept")
        assert await farm.state(task) == "ready"

        assert await _report(late, task) is Verdict.ACCEPTED
        assert await _report(late, task) is Verdict.ACCEPTED

        row = (await farm.rows("SELECT * FROM tasks WHERE id = $1", task))[0]
        assert (row["state"], row["accepted_attempt"], row["losses"]) == ("completed", 1, 0)
        assert await farm.until("SELECT state = 'ready' FROM tasks WHERE id = $1", task + 1)
        story = await farm.rows("SELECT detail FROM history WHERE event = 'task.completed'")
        assert [row[0] for row in story] == ['{"was": "lost", "late": true}']


async def test_a_late_result_is_accepted_and_what_runs_in_its_place_is_stopped(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as late, WireWorker(farm.amqp_url, "node-2") as other:
        task = await _given_away(farm, late, late_results="accept")
        await other.online()
        again = await other.assigned()
        await other.start(again)

        assert await _report(late, task) is Verdict.ACCEPTED

        revoked = await other.hear(lambda one: one.type == "revoke")
        assert [(one.task, one.attempt) for one in revoked.attempts] == [(task, 2)]
        await other.finish(again)
        assert await other.verdict(again) is Verdict.SUPERSEDED
        assert (await farm.rows("SELECT result FROM attempts WHERE accepted"))[0][0] == '"six hours of work"'


async def test_a_late_result_is_rejected_when_another_was_accepted_first(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as late, WireWorker(farm.amqp_url, "node-2") as other:
        task = await _given_away(farm, late, late_results="accept")
        await other.online()
        again = await other.assigned()
        await other.finish(again)
        assert await other.verdict(again) is Verdict.ACCEPTED

        assert await _report(late, task) is Verdict.SUPERSEDED


async def test_a_worker_that_lists_a_late_success_is_not_told_to_forget_it_before_its_report(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as late:
        task = await _given_away(farm, late, late_results="accept")
        await late.online(holds=[Held(task=task, attempt=1, phase=Phase.FINISHED, outcome=Outcome.COMPLETED)])
        again = await late.assigned()
        assert not [one for one in late.commands if isinstance(one, Verdicts)]

        assert await _report(late, task) is Verdict.ACCEPTED
        revoked = await late.hear(lambda one: one.type == "revoke")
        assert [(one.task, one.attempt) for one in revoked.attempts] == [(task, again.attempt)]


async def test_a_late_result_of_an_exclusive_task_ends_its_lease(farm: Farm) -> None:
    exclusive = {"kind": "exec", "commands": [{"name": "exec"}], "exclusive": True}
    async with WireWorker(farm.amqp_url, "node-1", kinds=["exec"], supervises=["exec"]) as late:
        await late.online()
        await farm.submit(exclusive, late_results="accept")
        attempt = await late.assigned()
        await late.beat(holds=[Held(task=attempt.task, attempt=1, phase=Phase.RECEIVED)])
        await late.hear(lambda one: one.type == "beat_ack")
        await late.start(attempt)
        await farm.until("SELECT state = 'running' FROM tasks")
        await _lose(farm, late)
        assert await farm.state(attempt.task) == "scheduled"

        assert await _report(late, attempt.task) is Verdict.ACCEPTED

        assert (await farm.rows("SELECT released_by FROM leases"))[0][0] == "said"
        assert await farm.state(attempt.task) == "completed"


async def test_a_real_agent_that_was_given_up_meanwhile_has_its_result_accepted(
    database_url: str, amqp_url: str, tmp_path: Path
) -> None:
    fields = {"worker": "node-1", "amqp_url": amqp_url, "data_dir": tmp_path / "data", "output_root": tmp_path / "out"}
    async with running(database_url, amqp_url, heartbeat_s=60) as farm, agents.running(config.load(None, fields)):
        await farm.until("SELECT count(*) = 1 FROM workers WHERE connection = 'online'")
        sleep = {"kind": "sleep", "commands": [{"name": "sleep", "parameters": {"seconds": 2}}]}
        await farm.submit(sleep, late_results="accept")
        await farm.until("SELECT state = 'running' FROM tasks")
        await farm.rows("UPDATE coordinators SET listening_since = farm_now() - interval '1 hour'")
        await farm.rows("UPDATE worker_liveness SET last_seen_at = farm_now() - interval '200 s'")
        await farm.until("SELECT ending = 'lost' FROM attempts")

        await farm.until("SELECT state = 'completed' FROM tasks")

        assert (await farm.rows("SELECT attempt, accepted_attempt FROM tasks"))[0][:] == (1, 1)
