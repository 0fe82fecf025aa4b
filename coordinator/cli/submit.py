"""`farmhand submit`: one command, an array of them, or a job file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from coordinator.cli.command import Session, command, fail
from coordinator.cli.commandline import failure_policy, of_command
from coordinator.cli.output import plural, say, show_json, write
from coordinator.cli.templates import settings

if TYPE_CHECKING:
    from schemas.job import JobSpec
    from schemas.views import Submitted

Words = Annotated[list[str] | None, typer.Option(metavar="WORD")]
FileArgument = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="A job file, YAML or TOML; - reads YAML.", show_default=False)
]


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
        overrides["on_failure"] = failure_policy(on_failure)
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
    return of_command(list(argv), one, overrides), None


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
