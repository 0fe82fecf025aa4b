"""What the HTTP API answers: the farm as people and programs see it, read from the rows.

Instants are aware UTC, durations seconds, sizes bytes. A client ignores fields that it does not know, so that a newer
coordinator may say more.
"""

from schemas.views.access import NewTokenView, TokenView, TokenWish
from schemas.views.base import Changed, Entry, Page, Problem, Submitted, View
from schemas.views.farm import CoordinatorView, FarmInfo, Numbers, ParkedDetail, ParkedState, ParkedView, WorkerCount
from schemas.views.jobs import (
    FINISHED_JOB,
    AttemptView,
    BlockView,
    Counts,
    JobDetail,
    JobState,
    JobView,
    LogPart,
    LogSpan,
    OutputView,
    PartView,
    TaskDetail,
    TaskState,
    TaskView,
    Waiting,
    WaitingClass,
    WaitingTasks,
)
from schemas.views.statistics import ActivityReport, MetricView, Series, SeriesLine
from schemas.views.wishes import Labels, Reason, RequeueJob, StateWish, Unblock
from schemas.views.workers import Amounts, Asked, Connection, HeldView, QueueView, WorkerDetail, WorkerView

__all__ = [
    "FINISHED_JOB",
    "ActivityReport",
    "Amounts",
    "Asked",
    "AttemptView",
    "BlockView",
    "Changed",
    "Connection",
    "CoordinatorView",
    "Counts",
    "Entry",
    "FarmInfo",
    "HeldView",
    "JobDetail",
    "JobState",
    "JobView",
    "Labels",
    "LogPart",
    "LogSpan",
    "MetricView",
    "NewTokenView",
    "Numbers",
    "OutputView",
    "Page",
    "ParkedDetail",
    "ParkedState",
    "ParkedView",
    "PartView",
    "Problem",
    "QueueView",
    "Reason",
    "RequeueJob",
    "Series",
    "SeriesLine",
    "StateWish",
    "Submitted",
    "TaskDetail",
    "TaskState",
    "TaskView",
    "TokenView",
    "TokenWish",
    "Unblock",
    "View",
    "Waiting",
    "WaitingClass",
    "WaitingTasks",
    "WorkerCount",
    "WorkerDetail",
    "WorkerView",
]
