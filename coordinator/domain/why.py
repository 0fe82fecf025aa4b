"""Why something waits: every reason there is, in one fixed order, with its words, its remedy, and who can apply it.

The rules themselves stand where they decide (`worker.unwilling`, `matching.misfits`, …): generators that yield the
reasons against something. Assignment asks them for the first reason, `explain` for all. So a new rule is

1. a member of `reason.Reason`, at its place in the order,
2. its row in `LINES`,
3. a `yield` in the generator that assignment folds.

Sentences and remedies are templates; the names in braces are facts, given by `explain` or by whoever finds the reason.
`{workers:worker}` counts: "1 worker", "3 workers"; `{workers:is|are}` chooses the word.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any, Final

from coordinator.domain.reason import Kind, Line, Reason, Stage, Who

_K, _W, _R = Kind, Who, Reason
LINES: Final[Mapping[Reason, Line]] = {
    _R.FINISHED: Line(_K.DONE, _W.SUBMITTER, "It is {state} already.", "farmhand tasks requeue {task}"),
    _R.COORDINATOR_PAUSED: Line(
        _K.DELIVERY,
        _W.ADMIN,
        "{deaf} of {coordinators:coordinator} {deaf:takes|take} nothing from {deaf:its|their} queues since {seconds}: "
        "what workers say waits, and none of them is given up meanwhile.",
        "farmhand doctor",
    ),
    _R.BROKER_BLOCKED: Line(
        _K.DELIVERY,
        _W.ADMIN,
        "The broker takes no messages since {seconds} (it is short of memory or disk): deliveries and results wait.",
        "farmhand doctor",
    ),
    _R.UNHEARD: Line(
        _K.RUNNING,
        _W.OPERATOR,
        "{worker}, which holds it, has not been heard from for {silent}: if that goes on it is lost, and the task runs "
        "elsewhere.",
        "farmhand workers show {worker}",
    ),
    _R.EXPIRY_FROZEN: Line(
        _K.DELIVERY,
        _W.OPERATOR,
        "{suspects} of {workers:worker} in zone {zone} fell silent together, {seconds} ago: none of them is given up "
        "until most are back, or somebody says that they are gone.",
        "farmhand freezes thaw {zone}",
    ),
    _R.QUIET: Line(
        _K.RUNNING,
        _W.SUBMITTER,
        "It runs for {seconds}, and its log is silent for {silent}; of the tasks like it, 95 % took {usual} at most.",
        "farmhand logs {task}",
    ),
    _R.RUNNING: Line(_K.RUNNING, _W.NOBODY, "It runs on {worker} since {seconds}.", "farmhand logs {task} --follow"),
    _R.UNDELIVERED: Line(
        _K.DELIVERY,
        _W.OPERATOR,
        "Given to worker {worker} {seconds} ago, which has not started it yet.",
        "farmhand workers show {worker}",
    ),
    _R.DEPENDENCY_NEVER: Line(
        _K.NEVER,
        _W.SUBMITTER,
        "Needs task {need} ({name}), which {ended}: requeue {need} or cancel this one.",
        "farmhand tasks requeue {need}",
    ),
    _R.DEPENDENCY: Line(
        _K.SELF,
        _W.NOBODY,
        "Waits for {unmet} of {needs:task}; the first is task {need} ({name}){forecast}.",
        "farmhand why {need}",
    ),
    _R.PROMOTION: Line(
        _K.SELF,
        _W.NOBODY,
        "Waits until the outputs of task {need} ({name}) are at their published path.",
        "farmhand tasks show {need}",
    ),
    _R.BACKOFF: Line(_K.SELF, _W.NOBODY, "Failed {failures:time}; tries again in {seconds}{because}."),
    _R.NOT_BEFORE: Line(_K.SELF, _W.SUBMITTER, "Starts at {start}, in {seconds}."),
    _R.LEASED: Line(
        _K.SELF,
        _W.NOBODY,
        "It is exclusive and may still run on {worker}: it can go on in {seconds}, or as soon as that worker says "
        "that it has ended.",
        "farmhand workers show {worker}",
    ),
    _R.PAUSED_TASK: Line(_K.SELF, _W.SUBMITTER, "Task {task} was {paused}.", "farmhand tasks resume {task}"),
    _R.CANCELING: Line(_K.NEVER, _W.SUBMITTER, "Its job {job} is being canceled.", "farmhand jobs show {job}"),
    _R.PAUSED_JOB: Line(
        _K.SELF, _W.SUBMITTER, "Job {name} was paused by {by}{because}.", "farmhand jobs resume {name}"
    ),
    _R.PAUSED_QUEUE: Line(
        _K.SELF, _W.OPERATOR, "Queue {name} was paused by {by}{because}.", "farmhand queues resume {name}"
    ),
    _R.JOB_LIMIT: Line(
        _K.LIMIT,
        _W.SUBMITTER,
        "{used} of {total} tasks allowed at once for job {name} run.",
        "farmhand jobs limit {name}",
    ),
    _R.LICENSE_NEVER: Line(
        _K.NEVER,
        _W.OPERATOR,
        "Needs {needs} of license {name}, of which the farm has {total}.",
        "farmhand limits set license:{name}={needs}",
    ),
    _R.LICENSE: Line(
        _K.LIMIT,
        _W.OPERATOR,
        "Needs {needs} of license {name}; {used} of {total} are in use{holders}.",
        "farmhand limits list",
    ),
    _R.QUEUE_LIMIT: Line(
        _K.LIMIT, _W.OPERATOR, "{used} of {total} tasks allowed at once in queue {name} run.", "farmhand limits list"
    ),
    _R.KIND_LIMIT: Line(
        _K.LIMIT, _W.OPERATOR, "{used} of {total} tasks allowed at once of kind {name} run.", "farmhand limits list"
    ),
    _R.SUBMITTER_LIMIT: Line(
        _K.LIMIT, _W.OPERATOR, "{used} of {total} tasks allowed at once for {name} run.", "farmhand limits list"
    ),
    _R.NO_WORKER: Line(
        _K.NEVER, _W.ADMIN, "The farm has no workers yet: start farmhand-agent on a machine.", "farmhand agent"
    ),
    _R.NO_QUEUE: Line(_K.NEVER, _W.OPERATOR, "No worker serves queue {queue}.", "farmhand agent --queue {queue}"),
    _R.NO_KIND: Line(_K.NEVER, _W.ADMIN, "No worker offers kind {kind}{among}.", "farmhand workers"),
    _R.NO_ZONE: Line(_K.NEVER, _W.ADMIN, "No worker is in zone {zone}{among}.", "farmhand workers"),
    _R.NO_TAG: Line(_K.NEVER, _W.ADMIN, "No worker has {tags}{among}.", "farmhand workers"),
    _R.NO_LABEL: Line(
        _K.NEVER,
        _W.OPERATOR,
        "No worker has {labels}{among}{claims}; approve with: farmhand workers label NAME {words}",
        "farmhand workers label {nearest} {words}",
    ),
    _R.NO_LEASE: Line(
        _K.NEVER,
        _W.SUBMITTER,
        "It is exclusive, and no worker{among} is one of Farmhand's own agents: others end no processes when their "
        "lease is over.",
        "farmhand agent",
    ),
    _R.NO_SUPERVISOR: Line(
        _K.NEVER,
        _W.SUBMITTER,
        "It is exclusive, and no worker can supervise its commands{among}: those that are processes of their own can "
        "be, such as exec.",
        "farmhand workers",
    ),
    _R.NO_RUNNER: Line(
        _K.NEVER,
        _W.ADMIN,
        "No worker{among} can run {commands}: see docs/runners.md for what each command needs on its machine.",
        "farmhand workers",
    ),
    _R.NO_SECRET: Line(
        _K.NEVER,
        _W.ADMIN,
        "No worker{among} has {secrets}: its operator puts a file of that name into the worker's secrets_dir.",
        "farmhand workers show {nearest}",
    ),
    _R.NO_LIMIT: Line(
        _K.NEVER,
        _W.SUBMITTER,
        "No worker{among} can keep {limits}: run it elsewhere, or submit it without.",
        "farmhand workers",
    ),
    _R.TOO_BIG: Line(
        _K.NEVER, _W.ADMIN, "Asks for {size}; no worker{among} is that large{largest}.", "farmhand workers"
    ),
    _R.GONE: Line(
        _K.LATER,
        _W.ADMIN,
        "{workers:worker} could run it but {workers:is|are} offline or lost{each}.",
        "farmhand workers",
    ),
    _R.SUSPECT: Line(
        _K.LATER,
        _W.NOBODY,
        "{workers:worker} could run it but {workers:has|have} not been heard from for a while.",
        "farmhand workers show {first}",
    ),
    _R.ASLEEP: Line(
        _K.LATER,
        _W.OPERATOR,
        "{workers:worker} could run it but {workers:is|are} asleep{each}.",
        "farmhand workers wake {first}",
    ),
    _R.DRAINING: Line(
        _K.LATER,
        _W.OPERATOR,
        "{workers:worker} could run it but {workers:is|are} draining{each}.",
        "farmhand workers wake {first}",
    ),
    _R.UNWELL: Line(
        _K.LATER,
        _W.ADMIN,
        "{workers:worker} could run it but {workers:says|say} that something is wrong there{each}.",
        "farmhand workers show {first}",
    ),
    _R.STARTING: Line(_K.LATER, _W.NOBODY, "{workers:worker} could run it but {workers:is|are} only starting."),
    _R.TESTING: Line(
        _K.LATER,
        _W.OPERATOR,
        "{workers:worker} could run it but {workers:is|are} being tested, and it names another or none{each}.",
        "farmhand workers wake {first}",
    ),
    _R.QUARANTINED: Line(
        _K.LATER,
        _W.OPERATOR,
        "{workers:worker} could run it but {workers:is|are} quarantined{each}.",
        "farmhand workers wake {first}",
    ),
    _R.ASKED_TO_STOP: Line(
        _K.LATER,
        _W.OPERATOR,
        "{workers:worker} could run it but {workers:was|were} asked for something else{each}.",
        "farmhand workers wake {first}",
    ),
    _R.BLOCKED: Line(
        _K.LATER,
        _W.SUBMITTER,
        "{workers:worker} ({names}) {workers:is|are} blocked: too many tasks of this kind in job {job} failed there.",
        "farmhand jobs unblock {job} {first}",
    ),
    _R.FAILED_HERE: Line(
        _K.LATER,
        _W.NOBODY,
        "It failed before on {workers:worker}, and another one that could run it is to try next.",
        "farmhand tasks show {task}",
    ),
    _R.BUSY: Line(
        _K.LATER,
        _W.NOBODY,
        "All slots of {workers:worker} that could run it are in use{forecast}{ahead}.",
        "farmhand capacity",
    ),
    _R.RESOURCES: Line(
        _K.LATER,
        _W.NOBODY,
        "{workers:worker} with free slots could run it, but {workers:has|have} not {size} left{forecast}{ahead}.",
        "farmhand capacity",
    ),
    _R.PRIORITY: Line(
        _K.LATER,
        _W.SUBMITTER,
        "{workers:worker} could start it now, but {others} come first.",
        "farmhand queues",
    ),
    _R.NEXT_PASS: Line(_K.TURN, _W.NOBODY, "Can start now: {workers:worker} with room."),
}


@dataclass(frozen=True, slots=True)
class Found:
    """A reason that holds, with the facts of its words."""

    reason: Reason
    facts: Mapping[str, Any] = field(default_factory=dict)

    def with_facts(self, **facts: Any) -> "Found":
        """It, with more that is known."""
        return Found(self.reason, {**self.facts, **facts})

    @property
    def line(self) -> Line:
        """Its row."""
        return LINES[self.reason]

    @property
    def sentence(self) -> str:
        """What is so."""
        return self.line.sentence.format_map(self.facts)

    @property
    def remedy(self) -> str:
        """What to type."""
        return self.line.remedy.format_map(self.facts)

    @property
    def told(self) -> dict[str, Any]:
        """The facts that its words use, for programs."""
        used = {name for words in (self.line.sentence, self.line.remedy) for _, name, _, _ in Formatter().parse(words)}
        return {name: self.facts[name] for name in self.facts if name in used}


#: The stages of the funnel. Neighbours with the same words are one stage.
STAGES: Final[Mapping[Reason, Stage]] = {
    _R.NO_QUEUE: Stage("serve queue {queue}", "does not serve queue {queue}"),
    _R.NO_KIND: Stage("offer kind {kind}", "does not offer kind {kind}"),
    _R.NO_ZONE: Stage("are in zone {zone}", "is not in zone {zone}"),
    _R.NO_TAG: Stage("have {tags}", "lacks {tags}"),
    _R.NO_LABEL: Stage("have {labels}", "lacks {labels}"),
    _R.NO_LEASE: Stage("are Farmhand's own agents", "is not one of Farmhand's own agents, which alone keep leases"),
    _R.NO_SUPERVISOR: Stage("can supervise its commands", "cannot supervise its commands"),
    _R.NO_RUNNER: Stage("can run {commands}", "cannot run {commands}"),
    _R.NO_SECRET: Stage("have {secrets}", "lacks {secrets}"),
    _R.NO_LIMIT: Stage("can keep {limits}", "cannot keep {limits}"),
    _R.TOO_BIG: Stage("are large enough", "is too small for {size}"),
    _R.GONE: Stage("are online", "is {connection}{rest}"),
    _R.SUSPECT: Stage("are online", "has not been heard from for a while"),
    _R.ASLEEP: Stage("are awake", "is asleep{rest}"),
    _R.DRAINING: Stage("are awake", "is draining{rest}"),
    _R.UNWELL: Stage("are awake", "says that something is wrong there{rest}"),
    _R.STARTING: Stage("are awake", "is only starting"),
    _R.TESTING: Stage("are awake", "is being tested{rest}"),
    _R.QUARANTINED: Stage("are awake", "is quarantined{rest}"),
    _R.ASKED_TO_STOP: Stage("are awake", "is{rest}"),
    _R.BLOCKED: Stage("are not blocked", "is blocked for this kind in this job"),
    _R.FAILED_HERE: Stage("have not failed it", "has failed it, and others can try"),
    _R.BUSY: Stage("have {slots:slot} free", "has {free} of {all:slot} free"),
    _R.RESOURCES: Stage("have {size} free", "has too little of {size} left"),
}
