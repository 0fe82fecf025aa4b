"""Where the workers of peers find their broker."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Set by the benchmark."""

    model_config = SettingsConfigDict(env_prefix="FARMHAND_BENCH_")

    broker: str
