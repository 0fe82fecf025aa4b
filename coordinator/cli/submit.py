"""`farmhand submit`: one command, an array of them, or a job file."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from coordinator.cli.command import Session, command, fail
from coordinator.cli.output import plural, say, show_json, write
from coordinator.cli.templates import settings

if TYPE_CHECKING:
    from schemas.job import JobSpec
    from schemas.views import Submitted

Words = Annotated[list[str] | None, typer.Option(metavar="WORD")]
FileArgument = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="A job file, YAML or TOML; - reads YAML.", show_default=False)
]
_NAMED: Final = re.compile(r"([A-Za-z0-9_-]+)=(.*)", re.DOTALL)
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([MGT]?)(?:i?B)?", re.IGNORECASE)
_MIB: Final = {"": 1, "M": 1, "G": 1024, "T": 1024 * 1024}


def add(app: typer.Typer) -> None:
    """Add the command to *app*."""
    command(app, "submit")(submit)


def submit(  # noqa: PLR0913 - an option for each field
    session: Session,
    file: FileArgument = None,
    *,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The job's name.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="So many tasks; {{index}} counts them from 0.")] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=V1,V2|FILE",
            help="A task for each value: {{value.NAME}}; each line of a FILE: {{value}} (CSV, JSON: {{value.column}}).",
        ),
    ] = None,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="What workers are matched by; else exec.")] = None,
    queue: Annotated[str | None, typer.Option(metavar="QUEUE", help="The queue; else default.")] = None,
    priority: Annotated[int | None, typer.Option(min=0, max=100, help="The job's priority; else 50.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Only workers that have it; repeatable.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="Only workers approved for it; repeatable.")
    ] = None,
    zone: Annotated[str | None, typer.Option(metavar="ZONE", help="Only workers of this zone.")] = None,
    slots: Annotated[int | None, typer.Option(min=1, help="Slots that a task takes.")] = None,
    cpus: Annotated[float | None, typer.Option(min=0, help="Cores that a task takes.")] = None,
    memory: Annotated[str | None, typer.Option(metavar="SIZE", help="Memory that a task takes, such as 4G.")] = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs that a task takes.")] = None,
    env: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A variable for the program; repeatable.")
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=SECRET", help="A variable that holds the worker's secret; repeatable."),
    ] = None,
    max_memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Memory that ends the task when it takes more, such as 4G.")
    ] = None,
    nice: Annotated[
        int | None, typer.Option(min=0, max=19, help="Priority of its processes; 19 is the lowest.")
    ] = None,
    progress: Annotated[
        str | None, typer.Option(metavar="REGEX", help="How the program prints its progress: groups done, total.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="How many steps of progress to expect.")] = None,
    retries: Annotated[int | None, typer.Option(min=0, max=100, help="More attempts after a failure; else 3.")] = None,
    not_before: Annotated[
        str | None,
        typer.Option(
            "--not-before", metavar="WHEN", help="Start no sooner: 2h from now, or 2030-01-31T22:00:00+01:00."
        ),
    ] = None,
    deadline: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Fail what is not done by then: 8h from now, or an instant.")
    ] = None,
    max_run: Annotated[
        str | None, typer.Option("--max-run", metavar="TIME", help="Stop an attempt that runs longer, such as 90s, 2h.")
    ] = None,
    no_progress: Annotated[
        str | None,
        typer.Option("--no-progress", metavar="TIME", help="Stop an attempt that gives no log or progress so long."),
    ] = None,
    promote: Annotated[
        str | None, typer.Option(metavar="PATH", help="Publish accepted outputs here, below the publish root.")
    ] = None,
    upload: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Keep copies of such outputs; repeatable.")
    ] = None,
    exclusive: Annotated[
        bool | None, typer.Option("--exclusive", help="Never in two places at a time, whatever dies.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The same key again answers with the first job.")
    ] = None,
    template: Annotated[
        str | None, typer.Option(metavar="NAME", help="Submit this job template; see farmhand templates.")
    ] = None,
    version: Annotated[int | None, typer.Option(min=1, help="The template's version; else the newest.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the template; repeatable.")
    ] = None,
    accept_unknown_kinds: Annotated[
        bool, typer.Option("--accept-unknown-kinds", help="Even if no worker ever offered the kind.")
    ] = False,
    on_failure: Annotated[
        str | None,
        typer.Option(metavar="continue|fail_fast|SHARE", help="What a task that fails for good does to the job."),
    ] = None,
    late_results: Annotated[
        Literal["reject", "accept"] | None,
        typer.Option(help="Results of attempts that were given up, while the task is not finished; else reject."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many of its tasks at once, at most.")] = None,
    licenses: Annotated[
        list[str] | None,
        typer.Option("--license", metavar="NAME[=N]", help="Licenses that a task takes; repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the job as JSON; submit nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait, and exit with the job's outcome.")] = False,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="With --wait: give up after 90s, 10m or 2h (exit code 7).")
    ] = None,
) -> None:
    """Submit a command, an array of commands, a job file, or a job template.

    Examples:
      farmhand submit -- echo hello
      farmhand submit --wait --count 100 -- render scene.blend --frame {{index}}
      farmhand submit --param lens=35,50 --param fog=on,off -- render {{value.lens}} {{value.fog}}
      farmhand submit shots.yaml --wait --timeout 2h
      farmhand submit --template render --set frames=100
    """
    whole: dict[str, Any] = {
        "name": name,
        "queue": queue,
        "priority": priority,
        "key": key,
        "limit": limit,
        "late_results": late_results,
        "not_before": not_before,
        "deadline": deadline,
        "max_run_s": max_run,
        "no_progress_s": no_progress,
    }
    overrides = {field: value for field, value in whole.items() if value is not None}
    if accept_unknown_kinds:
        overrides["accept_unknown_kinds"] = True
    if on_failure is not None:
        overrides["on_failure"] = _on_failure(on_failure)
    one = {
        "count": count, "param": param, "kind": kind, "tag": tag, "label": label, "zone": zone, "slots": slots,
        "cpus": cpus, "memory": memory, "gpus": gpus,
        "max_memory": max_memory, "nice": nice, "env": env, "secret": secret, "exclusive": exclusive,
        "progress": progress, "steps": steps, "retries": retries, "promote": promote, "upload": upload,
        "license": licenses,
    }  # fmt: skip
    if timeout is not None and not wait:
        fail("--timeout goes with --wait")
    given = {field: value for field, value in one.items() if value is not None}
    if template is not None:
        if file is not None or session.after_dashes is not None or given or dry_run:
            fail("with --template go --version, --set, --name, --queue, --priority, --key and --wait")
        fields = {"version": version, "parameters": settings(set_), **overrides}
        _send_template(session, template, fields, wait=wait, timeout=timeout)
        return
    if set_ or version is not None:
        fail("--set and --version go with --template")
    spec, where = _spec(session, file, given, overrides)
    if dry_run:
        show_json(spec.model_dump(mode="json", exclude_defaults=True))
        return
    _send(session, spec, where, wait=wait, timeout=timeout)


def _spec(
    session: Session, file: Path | None, one: dict[str, Any], overrides: dict[str, Any]
) -> tuple["JobSpec", tuple[Path, Any] | None]:
    """The job that was asked for; and, if it came from a file, where its fields stand."""
    from coordinator.cli.jobfile import JobFileError, load  # noqa: PLC0415 - pydantic and yaml are slow to import

    argv = session.after_dashes
    if file is not None and argv is not None:
        fail("give a job file or a command after --, not both")
    if file is not None:
        if one:
            fail(f"--{next(iter(one))} is for a command; in a job file, write it into the file")
        if str(file) != "-" and not file.exists():
            fail(f"there is no job file {file}; to submit a command: farmhand submit -- {file} ...")
        try:
            spec, lines = load(file, overrides)
        except JobFileError as error:
            fail(str(error))
        return spec, (file, lines)
    if not argv:
        fail("nothing to submit: give a job file, or a command after --")
    return _of_command(list(argv), one, overrides), None


def _send(
    session: Session, spec: "JobSpec", where: tuple[Path, Any] | None, *, wait: bool, timeout: str | None
) -> None:
    from coordinator.cli.waiting import seconds  # noqa: PLC0415
    from coordinator.client import FarmhandError  # noqa: PLC0415

    patience = seconds(timeout)
    try:
        done = session.farm.submit(spec)
    except FarmhandError as error:
        if where is None or not error.field:
            raise
        from coordinator.cli.jobfile import at  # noqa: PLC0415

        fail(at(*where, error.field, error.detail.removeprefix(f"{error.field}: ")), error.exit_code)
    _conclude(session, done, patience, wait=wait)


def _send_template(session: Session, name: str, fields: dict[str, Any], *, wait: bool, timeout: str | None) -> None:
    from pydantic import ValidationError  # noqa: PLC0415

    from coordinator.cli.waiting import seconds  # noqa: PLC0415
    from schemas.base import undecodable  # noqa: PLC0415
    from schemas.template import TemplateUse  # noqa: PLC0415

    patience = seconds(timeout)
    try:
        use = TemplateUse(**fields)
    except ValidationError as error:
        fail(str(undecodable(error)))
    _conclude(session, session.farm.submit_template(name, use), patience, wait=wait)


def _conclude(session: Session, done: "Submitted", patience: float | None, *, wait: bool) -> None:
    from coordinator.cli.waiting import wait_for  # noqa: PLC0415

    if not wait:
        if session.json:
            show_json(done)
        else:
            write(str(done.job))
            was = "submitted" if done.created else "was submitted before with this key"
            say(f"job {done.job} {was}: {plural(done.tasks, 'task')}; watch it: farmhand jobs wait {done.job}")
        return
    raise typer.Exit(wait_for(session, done.job, patience))


def _of_command(argv: list[str], one: Mapping[str, Any], overrides: Mapping[str, Any]) -> "JobSpec":
    from pydantic import ValidationError  # noqa: PLC0415

    from schemas.base import UndecodableError, refuse_unstorable, undecodable  # noqa: PLC0415
    from schemas.job import JobSpec  # noqa: PLC0415

    name = overrides.get("name") or PurePosixPath(argv[0]).name[:200] or "command"
    parameters: dict[str, Any] = {"argv": argv}
    if "progress" in one:
        parameters["progress"] = one["progress"]
    step = {"name": "exec", "parameters": parameters} | ({"steps": one["steps"]} if "steps" in one else {})
    task: dict[str, Any] = {"name": name, "kind": one.get("kind", "exec"), "commands": [step]}
    task |= {field: one[field] for field in ("zone", "retries", "promote", "upload", "exclusive") if field in one}
    task |= {plural_: one[field] for field, plural_ in (("tag", "tags"), ("label", "labels")) if field in one}
    if resources := _resources(one):
        task["resources"] = resources
    if limits := _limits(one):
        task["limits"] = limits
    if "license" in one:
        task["licenses"] = dict(_license(word) for word in one["license"])
    if "env" in one:
        task["environment"] = dict(_pair(word, "--env") for word in one["env"])
    for word in one.get("secret", ()):
        variable, name = _pair(word, "--secret")
        task.setdefault("environment", {})[variable] = {"secret": name}
    if array := _array(one):
        task["array"] = array
    try:
        spec = JobSpec.model_validate({"name": name, **overrides, "tasks": [task]})
        refuse_unstorable(spec.model_dump_json().encode())
    except ValidationError as error:
        fail(str(undecodable(error)))
    except UndecodableError as error:
        fail(str(error))
    return spec


def _resources(one: Mapping[str, Any]) -> dict[str, Any]:
    found = {field: one[field] for field in ("slots", "cpus", "gpus") if field in one}
    if "memory" in one:
        found["memory_mb"] = _mib(one["memory"], "--memory")
    return found


def _limits(one: Mapping[str, Any]) -> dict[str, Any]:
    found = {"nice": one["nice"]} if "nice" in one else {}
    if "max_memory" in one:
        found["memory_mb"] = _mib(one["max_memory"], "--max-memory")
    return found


def _mib(size: str, option: str) -> int:
    match = _SIZE.fullmatch(size.strip())
    if match is None:
        fail(f"{option} {size}: that is not a size such as 512M or 4G")
    return round(float(match[1]) * _MIB[match[2].upper()])


def _on_failure(word: str) -> str | dict[str, float]:
    """`--on-failure`: a word, or a share such as 10% or 0.1."""
    if word in ("continue", "fail_fast", "fail-fast"):
        return word.replace("-", "_")
    number, percent = (word[:-1], 100.0) if word.endswith("%") else (word, 1.0)
    try:
        share = float(number) / percent
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        fail(f"--on-failure {word}: write continue, fail_fast, or a share of the tasks such as 10% or 0.1")
    return {"share": share}


def _license(word: str) -> tuple[str, int]:
    """`--license`: a name, or a name and how many."""
    name, equals, count = word.partition("=")
    if not name or (equals and not (count.isascii() and count.isdecimal())):
        fail(f"--license {word}: write NAME or NAME=N")
    return name, int(count) if equals else 1


def _pair(word: str, option: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        fail(f"{option} {word}: write NAME=VALUE")
    return name, value


def _array(one: Mapping[str, Any]) -> dict[str, Any] | None:
    if "param" in one and "count" in one:
        fail("--count and --param do not go together: --param makes a task for each value")
    if "count" in one:
        return {"count": one["count"]}
    if "param" in one:
        return {"values": values(one["param"])}
    return None


def values(words: Sequence[str]) -> list[Any]:
    """One value for each combination of the parameters in *words*, or for each item of a file."""
    named: dict[str, list[str]] = {}
    for word in words:
        match = _NAMED.fullmatch(word)
        if match is None:
            if len(words) > 1:
                fail(f"--param {word}: a file goes alone; write the others as NAME=V1,V2")
            return _file(Path(word))
        if match[1] in named:
            fail(f"--param {match[1]} is given twice")
        named[match[1]] = match[2].split(",")
    return [dict(zip(named, combination, strict=True)) for combination in product(*named.values())]


def _file(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        fail(f"--param {path}: {error.strerror}; write a file's name, or NAME=V1,V2")
    except UnicodeDecodeError:
        fail(f"--param {path}: not UTF-8 text")
    found: Any
    if path.suffix == ".json":
        try:
            found = json.loads(text)
        except ValueError as error:
            fail(f"--param {path}: {error}")
    elif path.suffix == ".csv":
        found = list(csv.DictReader(text.splitlines()))
    else:
        found = [line for line in text.splitlines() if line.strip()]
    if not isinstance(found, list) or not found:
        fail(f"--param {path}: holds no list of values")
    return list(found)
