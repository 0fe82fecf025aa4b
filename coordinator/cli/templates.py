"""`farmhand templates`: jobs with typed parameters, kept with versions."""

from pathlib import Path
from typing import Annotated, Any

import typer

from coordinator.cli.command import Session, command, fail, group
from coordinator.cli.output import Column, plural, say, show_facts, show_json, show_table, write
from coordinator.cli.paging import LimitOption, show_pages

NameArgument = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A template, YAML or TOML; - reads YAML.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; kept in the history.")]


def _allowed(one: dict[str, Any]) -> str:
    if one.get("choices"):
        return ", ".join(map(str, one["choices"]))
    if one.get("pattern"):
        return str(one["pattern"])
    low, high = one.get("minimum"), one.get("maximum")
    if low is None and high is None:
        return "-"
    return f"{'' if low is None else format(low, 'g')}..{'' if high is None else format(high, 'g')}"


COLUMNS = [
    Column("NAME", lambda template: template.name, keep=True),
    Column("VERSION", lambda template: template.version, right=True),
    Column("PARAMETERS", lambda template: template.parameters),
    Column("CREATED", lambda template: template.created_at),
    Column("BY", lambda template: template.created_by),
    Column("DESCRIPTION", lambda template: template.description),
]
_PARAMETERS = [
    Column("PARAMETER", lambda one: one["name"], keep=True),
    Column("TYPE", lambda one: one.get("type", "string")),
    Column("DEFAULT", lambda one: one.get("default", "(required)")),
    Column("ALLOWED", _allowed),
    Column("DESCRIPTION", lambda one: one.get("description", "")),
]


def add(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    templates = group(app, "templates", "Job templates: create, list, show, remove.")
    command(templates, invoke_without_command=True)(list_)
    command(templates, "list")(list_)
    command(templates, "create")(create)
    command(templates, "show")(show)
    command(templates, "remove")(remove)


def list_(session: Session, limit: LimitOption = 50) -> None:
    """List job templates.

    Examples:
      farmhand templates
      farmhand templates show render
      farmhand submit --template render --set frames=100
    """
    show_pages(
        session,
        lambda cursor, size: session.farm.templates(after=cursor or "", limit=size),
        limit,
        COLUMNS,
        empty="no templates; keep one: farmhand templates create FILE",
    )


def create(session: Session, file: FileArgument) -> None:
    """Keep the template in a file, as the next version of its name.

    Examples:
      farmhand templates create render.yaml
    """
    from coordinator.cli.jobfile import JobFileError, load_as  # noqa: PLC0415 - slow to import
    from schemas.template import TemplateSpec  # noqa: PLC0415

    try:
        spec, _ = load_as(TemplateSpec, file, {})
    except JobFileError as error:
        fail(str(error))
    done = session.farm.create_template(spec)
    if session.json:
        show_json(done)
    else:
        say(f"template {done.name}: version {done.version}" + ("" if done.created else " (nothing has changed)"))


def show(
    session: Session,
    name: NameArgument,
    version: Annotated[int | None, typer.Option("--version", min=1, help="Which; else the newest.")] = None,
) -> None:
    """Show a template: its parameters, and the job that they fill.

    Examples:
      farmhand templates show render
      farmhand templates show render --version 2 --json
    """
    found = session.farm.template(name, version=version)
    if session.json:
        show_json(found)
        return
    show_facts(
        [
            ("template", f"{found.name}  {found.description}".rstrip()),
            ("version", f"{found.version} of {plural(len(found.versions), 'version')}"),
            ("created", found.created_at),
            ("by", found.created_by),
        ]
    )
    show_table(_PARAMETERS, found.spec.get("parameters", []), empty="no parameters")
    import yaml  # noqa: PLC0415 - slow to import

    write(yaml.safe_dump(found.spec["job"], sort_keys=False, allow_unicode=True).rstrip())


def remove(session: Session, name: NameArgument, reason: ReasonOption = None) -> None:
    """Forget a template with all its versions; its jobs stay.

    Examples:
      farmhand templates remove render --reason "film is done"
    """
    done = session.farm.remove_template(name, reason=reason)
    if session.json:
        show_json(done)
    else:
        say(f"template {name}: removed, {plural(done.count, 'version')}")


def settings(words: list[str] | None) -> dict[str, str]:
    """The NAME=VALUE pairs of `--set`."""
    found: dict[str, str] = {}
    for word in words or ():
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            fail(f"--set {word!r} is not NAME=VALUE")
        if name in found:
            fail(f"--set {name} is given twice")
        found[name] = value
    return found
