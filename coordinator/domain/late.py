"""The report of a success whose attempt was given up: too late, or still welcome.

Taking it is safe: each attempt writes into a directory of its own, and the row alone says which one counts. It is right
when the task is not finished yet in the same run; the job's `late_results` says whether it is wanted. As no run that is
finished goes on, the answer to the same report never changes from `superseded` to `accepted`.
"""

from coordinator.domain import task as tasks
from coordinator.domain.attempt import Attempt, AttemptState, Ending
from coordinator.domain.job import Policy
from coordinator.domain.outcome import Refused
from coordinator.domain.task import Task, TaskEvent


def is_welcome(policy: Policy, attempt: Attempt, task: Task) -> bool:
    """Whether a success of *attempt*, reported now, is to be accepted although the attempt was given up."""
    given_up = attempt.state is AttemptState.STOPPING or attempt.ending in (Ending.LOST, Ending.REVOKED)
    return (
        policy.late_results == "accept"
        and given_up
        and attempt.run == task.run
        and not isinstance(tasks.decide(task.state, TaskEvent.COMPLETED_LATE), Refused)
    )
