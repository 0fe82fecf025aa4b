"""How many tasks a task may add to its job, and how deep."""

from typing import Final

#: Tasks that one run of a task may add.
MOST_OF_ONE: Final = 1000
#: What is spawned may spawn, so many times over.
MOST_DEPTH: Final = 5


def refusal(count: int, *, of_run: int, of_job: int, most_of_job: int, depth: int) -> str | None:
    """Why *count* more tasks may not be added; None when they may.

    *of_run* and *of_job* have been added already by this run and in the whole job; *depth* is that of the new ones.
    """
    if depth > MOST_DEPTH:
        return f"it would be {depth} tasks deep, more than {MOST_DEPTH}"
    if of_run + count > MOST_OF_ONE:
        return f"this run would have added {of_run + count} tasks, more than {MOST_OF_ONE}"
    if of_job + count > most_of_job:
        return f"the job would have {of_job + count} added tasks, more than its max_spawned of {most_of_job}"
    return None
