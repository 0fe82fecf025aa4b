"""Names for identifiers, so that a signature says which one it wants.

A worker is named by its operator; jobs and tasks are numbered by the database. An attempt is counted
per task, from 1, and never goes back. An instance is one life of an agent process.
"""

from typing import Final, NewType

WorkerId = NewType("WorkerId", str)
JobId = NewType("JobId", int)
TaskId = NewType("TaskId", int)
Attempt = NewType("Attempt", int)

#: What a worker id may look like: no dot, star, hash, slash or blank, so that it can be a routing key
#: word, a queue name, a file name and a log field as it is.
WORKER_ID_PATTERN: Final = r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$"
