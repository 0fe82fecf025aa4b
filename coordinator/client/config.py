"""The client's settings: the environment (`FARMHAND_…`) and the token's file, read here and nowhere else."""

import os
from pathlib import Path
from typing import Annotated, Final

import platformdirs
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from coordinator.client.errors import FarmhandError
from coordinator.client.http import DEFAULT_URL

#: The file in the data directory of `farmhand up`: an admin's token, and the URL that it is for.
ADMIN_TOKEN: Final = "admin-token"  # noqa: S105 - a file's name


class ClientSettings(BaseSettings):
    """Where the farm is, and as whom to call."""

    model_config = SettingsConfigDict(env_prefix="FARMHAND_", extra="ignore", frozen=True)

    url: str = DEFAULT_URL
    api_token: SecretStr | None = None
    api_token_file: Annotated[Path | None, Field(description="a file with the token in its first line")] = None
    actor: str | None = None
    debug: Annotated[bool, Field(description="show where an unexpected error came from")] = False

    def token(self, url: str | None = None) -> str | None:
        """The token: from the environment, else from the file it names, else from `token` in farmhand's directory; at
        last that of the farm of `farmhand up` on this machine, when *url* is where it answers."""
        return self._given() or _of_farm_here(url or self.url)

    def _given(self) -> str | None:
        if self.api_token is not None:
            return self.api_token.get_secret_value().strip() or None
        named = self.api_token_file is not None
        path = self.api_token_file or Path(platformdirs.user_config_dir("farmhand")) / "token"
        try:
            return path.expanduser().read_text(encoding="utf-8").partition("\n")[0].strip() or None
        except OSError as error:
            if not named:
                return None
            raise FarmhandError(f"cannot read the token in {path}: {error.strerror}", status=401) from None
        except UnicodeDecodeError:
            raise FarmhandError(f"{path} is not a text file with a token", status=401) from None


def default_directory() -> Path:
    """Where `farmhand up` keeps its data: as root where other accounts may pass, for Postgres is not run by root."""
    return Path("/var/lib/farmhand") if os.geteuid() == 0 else platformdirs.user_data_path("farmhand")


def _of_farm_here(url: str) -> str | None:
    """The admin's token of the farm that this user runs here, if that is the one at *url*."""
    try:
        token, place, *_ = (default_directory() / ADMIN_TOKEN).read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return None
    return token if place.rstrip("/") == url.rstrip("/") else None
