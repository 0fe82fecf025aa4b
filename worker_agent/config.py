"""The agent's settings: flags, then the environment (`FARMHAND_AGENT_...`), then a TOML file, then defaults.

The environment is read here and nowhere else; what of it the tasks may see is decided here too.
"""

import fnmatch
import os
import platform
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import platformdirs
from pydantic import AfterValidator, AnyHttpUrl, BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, InitSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from schemas.base import Word, WorkerName
from schemas.worker import MAX_SLOTS

PREFIX: Final = "FARMHAND_AGENT_"


class ConfigError(Exception):
    """Settings that cannot be used: one line that names the field and what to do."""


def _words(value: object) -> object:
    """`a,b` is a list where it comes from the environment."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


Words = Annotated[list[Word], NoDecode, BeforeValidator(_words), Field(max_length=64)]


def _pairs(value: object) -> object:
    """`a=b,c=d` is a table where it comes from the environment."""
    if not isinstance(value, str):
        return value
    pairs = [word.partition("=") for word in value.split(",") if word.strip()]
    if not all(separator for _, separator, _ in pairs):
        raise ValueError("should look like name=value,name=value")
    return {name.strip(): rest.strip() for name, _, rest in pairs}


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("should be an absolute path")
    return path


Patterns = Annotated[list[str], NoDecode, BeforeValidator(_words)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
Roots = Annotated[list[AbsolutePath], NoDecode, BeforeValidator(_words)]
#: Names without slashes, to paths.
Programs = Annotated[dict[Word, str], NoDecode, BeforeValidator(_pairs)]


def default_worker() -> str:
    """The host's name, made fit to be a worker's."""
    name = re.sub(r"[^a-z0-9-]+", "-", platform.node().split(".")[0].lower()).strip("-")[:64].strip("-")
    return name or "worker"


class Settings(BaseSettings):
    """All that can be set."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    worker: Annotated[WorkerName, Field(description="this worker's name on the farm")] = Field(
        default_factory=default_worker
    )
    amqp_url: Annotated[SecretStr, Field(description="the broker, as amqp://user:password@host:port/vhost")] = (
        SecretStr("amqp://guest:guest@127.0.0.1:5672/")
    )
    queues: Annotated[Words, Field(min_length=1, description="queues to serve, the first one first")] = ["default"]
    kinds: Annotated[Words, Field(description="kinds of task to offer; none: the names of the runners")] = []
    tags: Annotated[Words, Field(description="what this worker says of itself")] = []
    zone: Word = "default"
    slots: Annotated[int, Field(ge=1, le=MAX_SLOTS, description="attempts at a time")] = 1
    cpus: Annotated[float | None, Field(ge=0, le=4096, description="cores to offer; none: all that there are")] = None
    memory_mb: Annotated[int | None, Field(ge=0, le=2**40, description="MiB to offer; none: all")] = None
    gpus: Annotated[int | None, Field(ge=0, le=1024, description="GPUs to offer; none: all")] = None

    data_dir: Annotated[Path | None, Field(description="the journal and the log spool; one agent each")] = None
    output_root: Annotated[Path | None, Field(description="where attempts write, shared by the farm")] = None
    publish_root: Annotated[Path | None, Field(description="where accepted outputs are promoted to")] = None
    coordinator_url: Annotated[
        AnyHttpUrl | None, Field(description="where outputs are sent by HTTP; none: nowhere")
    ] = None

    coordinator_token: Annotated[SecretStr | None, Field(description="the API token of that coordinator")] = None

    executables: Annotated[Patterns | None, Field(description="programs that tasks may start; none: any")] = None
    programs: Annotated[
        Programs, Field(description="where programs are that go by a plain name, as blender=/opt/blender/blender")
    ] = {}
    roots: Annotated[
        Roots | None, Field(description="directories that tasks may name by absolute paths; none: any")
    ] = None
    callables: Annotated[Patterns | None, Field(description="functions that python may call; none: any")] = None
    callables_inside: Annotated[Patterns, Field(description="async functions that may run in the agent itself")] = []
    python: Annotated[Path | None, Field(description="interpreter of the python runner; none: the agent's")] = None
    python_path: Annotated[Patterns, Field(description="directories where the python runner finds functions")] = []
    pass_environment: Annotated[Patterns, Field(description="variables of the agent that tasks see besides")] = []

    nice: Annotated[int, Field(ge=0, le=19, description="priority of tasks' processes; 19 is the lowest")] = 0
    oom_score: Annotated[
        int, Field(ge=0, le=1000, description="how readily the kernel kills tasks when memory runs out; 1000 is first")
    ] = 500
    enforce_memory: Annotated[bool, Field(description="a task that takes more memory than it asked for is ended")] = (
        False
    )
    cgroup: Annotated[
        Path | None, Field(description="a cgroup (v2) of the agent's own for tasks; none: what systemd delegates")
    ] = None
    secrets_dir: Annotated[
        Path | None, Field(description="a file for each secret that tasks may name; beside systemd's credentials")
    ] = None
    secret_readers: Annotated[
        Patterns | None, Field(description="which kinds may read which secrets, as SECRET:KIND; none: all")
    ] = None

    drain_s: Annotated[float, Field(ge=0, le=7 * 24 * 3600, description="time to finish in after SIGTERM")] = 30.0
    identity_wait_s: Annotated[
        float, Field(ge=0, description="time to wait for the queue that another agent, or a dead connection, holds")
    ] = 40.0
    can_restart: Annotated[bool, Field(description="something starts this agent again when it ends with code 10")] = (
        False
    )
    log_format: Annotated[str, Field(pattern="^(auto|json|console)$")] = "auto"
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"

    @field_validator("secret_readers")
    @classmethod
    def _are_readers(cls, value: list[str] | None) -> list[str] | None:
        if not all(re.fullmatch(r"[^:]+:[^:]+", reader) for reader in value or ()):
            raise ValueError("should look like SECRET:KIND, as in licence-*:render")
        return value

    @field_validator("amqp_url")
    @classmethod
    def _is_amqp(cls, value: SecretStr) -> SecretStr:
        if not re.match(r"amqps?://[^/]", value.get_secret_value()):
            raise ValueError("should look like amqp://user:password@host:port/vhost")
        return value

    @property
    def data(self) -> Path:
        """Where the journal and the spool are."""
        return self.data_dir or Path(platformdirs.user_data_dir("farmhand")) / "agents" / self.worker

    @property
    def outputs(self) -> Path:
        """The output root."""
        return self.output_root or self.data / "outputs"

    @property
    def published(self) -> Path:
        """The publish root."""
        return self.publish_root or self.data / "published"

    @property
    def secrets(self) -> list[Path]:
        """Where secrets are: the operator's directory, and what systemd has handed over (`LoadCredential=`)."""
        return [path for path in (self.secrets_dir, _Credentials().credentials_directory) if path is not None]

    def shown(self) -> dict[str, Any]:
        """What is in force, without secrets, with the defaults that were worked out."""
        values = self.model_dump(mode="json")
        values["amqp_url"] = re.sub(r"//[^@/]*@", "//***@", self.amqp_url.get_secret_value())
        return values | {
            "data_dir": str(self.data),
            "output_root": str(self.outputs),
            "publish_root": str(self.published),
        }


class _Credentials(BaseSettings):
    """What systemd says."""

    model_config = SettingsConfigDict(extra="ignore")

    credentials_directory: Path | None = None


class _Place(BaseSettings):
    """Where the file is, when no flag says so."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")

    config: Path | None = None


def load(config: Path | None = None, flags: Mapping[str, object] | None = None) -> Settings:
    """The settings in force. Raises `ConfigError`."""
    path = config or _Place().config
    values = _read(path) if path else {}

    class Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=values)

    try:
        given: dict[str, Any] = {name: value for name, value in (flags or {}).items() if value is not None}
        return Loaded(**given)
    except ValidationError as error:
        raise ConfigError(_explain(error, path)) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None


def _explain(error: ValidationError, path: Path | None) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown setting {field!r}{f' in {path}' if path else ''}; see farmhand-agent config"
    name = str(first["loc"][0]) if first["loc"] else ""
    flag = {"queues": "queue", "kinds": "kind", "tags": "tag"}.get(name, name).replace("_", "-")
    places = [f"--{flag}", f"{PREFIX}{name.upper()}", *([str(path)] if path else [])]
    return f"{field}: {first['msg']} (set by {', '.join(places)})"


#: What of the agent's own environment tasks see. The rest may hold secrets.
PASSED: Final = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TMPDIR",
    "TEMP",
    "TMP",
    "DISPLAY",
    "XAUTHORITY",
    "WAYLAND_DISPLAY",
    "XDG_RUNTIME_DIR",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "CUDA_*",
    "NVIDIA_*",
    "HIP_*",
    "ROCR_*",
    "OMP_*",
    "OPENBLAS_*",
    "MKL_*",
    "SYSTEMROOT",
]


def environment_of_tasks(settings: Settings) -> dict[str, str]:
    """The variables that every task's processes start with; never one of ours."""
    patterns = [*PASSED, *settings.pass_environment]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("FARMHAND_") and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }
    if settings.python_path:
        environment["FARMHAND_PYTHON_PATH"] = os.pathsep.join(settings.python_path)
    return environment
