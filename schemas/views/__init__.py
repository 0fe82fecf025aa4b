"""What the HTTP API answers: the farm as people and programs see it, read from the rows.

Instants are aware UTC, durations seconds, sizes bytes. A client ignores fields that it does not know, so that a newer
coordinator may say more.
"""

from schemas.views.access import NewTokenView, TokenView, TokenWish
from schemas.views.base import Changed, Entry, Page, Problem, Submitted, View
from schemas.views.capacity import CapacityView, WantedView
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
from schemas.views.why import JobWhy, NearView, ReasonView, StepView, TaskWhy
from schemas.views.wishes import Labels, Reason, RequeueJob, StateWish, Unblock
from schemas.views.workers import Amounts, Asked, Connection, HeldView, QueueView, WorkerDetail, WorkerView

__all__ = [
    "FINISHED_JOB",
    "ActivityReport",
    "Amounts",
    "Asked",
    "AttemptView",
    "BlockView",
    "CapacityView",
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
    "JobWhy",
    "Labels",
    "LogPart",
    "LogSpan",
    "MetricView",
    "NearView",
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
    "ReasonView",
    "RequeueJob",
    "Series",
    "SeriesLine",
    "StateWish",
    "StepView",
    "Submitted",
    "TaskDetail",
    "TaskState",
    "TaskView",
    "TaskWhy",
    "TokenView",
    "TokenWish",
    "Unblock",
    "View",
    "Waiting",
    "WaitingClass",
    "WaitingTasks",
    "WantedView",
    "WorkerCount",
    "WorkerDetail",
    "WorkerView",
]
