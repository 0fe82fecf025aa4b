"""The coordinator's settings: the environment (`FARMHAND_…`), read here and nowhere else."""

import ipaddress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from coordinator.domain.access import Auth


def _networks(text: str) -> str:
    for one in text.split(","):
        ipaddress.IPv4Network(one.strip())
    return text


class Identity(StrEnum):
    """How the broker's word on who sent a message is checked.

    `shared`: all agents use one broker user and trust one another. `per-worker`: agent X logs in as `w-X`.
    """

    SHARED = "shared"
    PER_WORKER = "per-worker"


class Settings(BaseSettings):
    """Everything that can be set; `farmhand config check` prints it."""

    model_config = SettingsConfigDict(env_prefix="FARMHAND_", extra="ignore", frozen=True)

    database_url: Annotated[str, Field(description="Postgres, as postgresql://user:password@host:port/database")] = (
        "postgresql://farmhand@127.0.0.1:5432/farmhand"
    )
    amqp_url: Annotated[str, Field(description="RabbitMQ, as amqp://user:password@host:port/vhost")] = (
        "amqp://farmhand@127.0.0.1:5672/"
    )
    management_url: Annotated[
        SecretStr | None, Field(description="RabbitMQ's management interface, as http://user:password@host:15672")
    ] = None
    http_host: str = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8600
    auth: Annotated[Auth, Field(description="whether calls need a token")] = Auth.AUTO
    api_token: SecretStr | None = None
    agents_token: SecretStr | None = None
    gateways: Annotated[
        str,
        Field(
            pattern=r"^(all|[a-z0-9_]+(@[^@,]+)?(,[a-z0-9_]+(@[^@,]+)?)*)?$",
            description="protocols of other farms' workers: all, or NAME or NAME@HOST:PORT, with commas",
        ),
    ] = ""
    celery_urls: Annotated[
        SecretStr, Field(description="Celery's brokers, as FARMHAND_AMQP_URL, with commas; empty: the farm's own")
    ] = SecretStr("")
    celery_prefix: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9_.-]{1,40}$", description="what our queues at Celery's brokers begin with: one a farm"
        ),
    ] = "farmhand"
    celery_keep_days: Annotated[
        int, Field(ge=1, description="how long what was heard of Celery's own tasks is kept, in days")
    ] = 7
    flamenco_v1_network: Annotated[
        str,
        AfterValidator(_networks),
        Field(description="where Flamenco 1 workers may be and are called: networks (IPv4), with commas"),
    ] = "127.0.0.0/8"
    flamenco_v1_kinds: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9_.:+-]+(,[A-Za-z0-9_.:+-]+)*$", description="the kinds of tasks that they are given"
        ),
    ] = "exec"
    flamenco_v1_poll_s: Annotated[float, Field(ge=0.5, le=60, description="how often they are called, in seconds")] = (
        10.0
    )
    flamenco_registration: Annotated[
        Literal["open", "closed"], Field(description="whether Flamenco workers may register themselves")
    ] = "open"
    flamenco_variables: Annotated[
        Path | None, Field(description="a flamenco-manager.yaml whose variables Flamenco workers are told")
    ] = None
    clearml_timeout_s: Annotated[
        float, Field(ge=1, le=86400, description="silence after which ClearML agents that name no time are lost")
    ] = 600.0
    openwork_stop_url: Annotated[
        str, Field(pattern="^(https?://.+)?$", description="who stops OpenWork workers; asked by POST")
    ] = ""
    coordinator_id: str = ""
    identity: Identity = Identity.SHARED
    outputs_dir: Path | None = None
    lost_after_s: Annotated[float, Field(ge=30, description="silence after which a worker is lost, in seconds")] = 30.0
    reconnect_grace_s: Annotated[
        float, Field(ge=0, description="how long a worker whose connection closed may take to be back, in seconds")
    ] = 2.0
    broker_events_vhost: Annotated[
        str, Field(description="where RabbitMQ tells of connections (event_exchange.vhost); empty: it is not asked")
    ] = "/"
    heartbeat_s: Annotated[float, Field(ge=1, le=60, description="shortest interval between heartbeats")] = 5.0
    quarantine_below: Annotated[
        float, Field(ge=0, lt=1, description="health below which a worker is quarantined; 0: none ever is")
    ] = 0.3
    log_retention_days: Annotated[int, Field(ge=1)] = 30
    sample_s: Annotated[float, Field(ge=1, description="seconds between samples of a worker's machine, about")] = 10.0
    samples_kept_days: Annotated[int, Field(ge=1)] = 2
    minutes_kept_days: Annotated[int, Field(ge=1)] = 30
    hours_kept_days: Annotated[int, Field(ge=1)] = 400
    days_kept_days: Annotated[int, Field(ge=1)] = 3650
    remove_workers_after_days: Annotated[int, Field(ge=0, description="0: never")] = 0
    job_retention_days: Annotated[int, Field(ge=0, description="0: finished jobs are never archived")] = 90
    archive_retention_days: Annotated[int, Field(ge=0, description="0: archives and history are kept for ever")] = 365
    log_level: str = "info"
    log_format: Annotated[str, Field(pattern="^(auto|json|console)$")] = "auto"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on *host*."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
