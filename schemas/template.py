"""Job templates and schedules as people write them.

A template is a job with places, `{{parameters.NAME}}`, and the typed parameters that fill them; each change is a new
version. A schedule submits a job, or a template, at the instants of a cron expression.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, JsonValue, StringConstraints, field_validator, model_validator

from schemas.base import Line, Strict, Text, Word
from schemas.job import JobSpec
from schemas.patterns import compile_harmless

#: A template, or a schedule with its job, as JSON takes this many bytes at most.
MAX_TEMPLATE_BYTES: Final = 1024 * 1024

ParameterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
Scalar = bool | int | float | Annotated[str, StringConstraints(max_length=4000)]
Values = dict[ParameterName, JsonValue]
_NUMBERS: Final = ("integer", "number")
_TEXTS: Final = ("string", "path")


class ParameterSpec(Strict):
    """A typed parameter. Without a `default` it must be given; an optional one has a default.

    `minimum` and `maximum` (inclusive) bound numbers, `pattern` must match all of a text, `choices` are those of a
    choice.
    """

    name: ParameterName
    type: Literal["string", "integer", "number", "boolean", "choice", "path"] = "string"
    description: Text = ""
    required: bool | None = None
    default: Scalar | None = None
    minimum: float | None = None
    maximum: float | None = None
    pattern: Line | None = None
    choices: Annotated[list[Scalar], Field(max_length=1000)] = Field(default_factory=list)

    @field_validator("pattern")
    @classmethod
    def _harmless(cls, value: str | None) -> str | None:
        if value is not None:
            compile_harmless(value, "the pattern")
        return value

    @model_validator(mode="after")
    def _fits_its_type(self) -> "ParameterSpec":
        for field, types in (("minimum", _NUMBERS), ("maximum", _NUMBERS), ("pattern", _TEXTS)):
            if getattr(self, field) is not None and self.type not in types:
                raise ValueError(f"{field} is for {' and '.join(types)}, not for {self.type}")
        if bool(self.choices) != (self.type == "choice"):
            raise ValueError("a choice needs choices" if self.type == "choice" else "choices are for type: choice")
        if self.required is not None and self.required is (self.default is not None):
            raise ValueError(
                "what is required has no default" if self.required else "what is not required needs a default"
            )
        return self


class TemplateSpec(Strict):
    """A job template: `job` is a job with places."""

    name: Word
    description: Text = ""
    parameters: Annotated[list[ParameterSpec], Field(max_length=200)] = Field(default_factory=list)
    job: dict[str, JsonValue]

    @model_validator(mode="after")
    def _sound(self) -> "TemplateSpec":
        names = [one.name for one in self.parameters]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two parameters are named {name!r}")
        for field in self.job:
            if field not in JobSpec.model_fields:
                raise ValueError(f"job.{field}: there is no such field; there are {', '.join(JobSpec.model_fields)}")
        return self


class TemplateUse(Strict):
    """A job out of a template: the newest version, or the one that is named. What is given beside the parameters
    replaces the template's own."""

    version: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    parameters: Values = Field(default_factory=dict)
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    key: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    queue: Word | None = None
    priority: Annotated[int, Field(ge=0, le=100)] | None = None
    submitter: Line | None = None
    accept_unknown_kinds: bool | None = None

    def replaced(self) -> dict[str, Any]:
        """The job's fields that are given here."""
        return self.model_dump(exclude_none=True, exclude={"version", "parameters"})


class ScheduleSpec(Strict):
    """A schedule: `cron` (five fields, or @hourly, @daily, @weekly, @monthly, @yearly) on the clocks of `timezone`.

    `missed` says what becomes of instants that nobody saw: `skip`, `once` (one run for all of them) or `all` (the
    newest `most_missed`). `overlap` says what an instant does while an earlier one's job is not finished: `skip` it,
    `allow` both, or `replace` the earlier.
    """

    name: Word
    cron: Line
    timezone: Line = "UTC"
    missed: Literal["skip", "once", "all"] = "once"
    most_missed: Annotated[int, Field(ge=1, le=100)] = 10
    overlap: Literal["allow", "skip", "replace"] = "skip"
    job: JobSpec | None = None
    template: Word | None = None
    template_version: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    parameters: Values = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of_both(self) -> "ScheduleSpec":
        if (self.job is None) == (self.template is None):
            raise ValueError("give either a job or a template")
        if self.template is None and (self.parameters or self.template_version is not None):
            raise ValueError("parameters and template_version go with a template")
        if self.job is not None and self.job.key is not None:
            raise ValueError("the job of a schedule has no key: each of its instants is one")
        return self
