"""The integration tests on servers in containers, once for each promised release, then `deploy/` itself.

    python -m tests.containers [ARGUMENT OF PYTEST...]

Finds or starts a Docker engine (`engine`), finds or makes the images (`images`).
"""

import subprocess
import sys
from typing import Final

from tests.containers.engine import Engine, EngineUnavailableError, engine, exit_on_signals, say
from tests.containers.images import ImageError, provide

MATRIX: Final = (("rabbitmq-3.10", "postgres-15"), ("rabbitmq-4.0", "postgres-17"))


def environment(broker: str, database: str, on: Engine) -> dict[str, str]:
    """What tells the tests to use containers of these images, and no other server."""
    kept = {
        name: value
        for name, value in on.environment.items()
        if name not in ("FARMHAND_DATABASE_URL", "FARMHAND_AMQP_URL", "FARMHAND_TEST_MANAGEMENT_URL")
    }
    return kept | {
        "FARMHAND_TEST_SERVICES": "containers",
        "FARMHAND_RABBITMQ_IMAGE": provide(broker, on),
        "FARMHAND_POSTGRES_IMAGE": provide(database, on),
    }


def run(on: Engine, arguments: list[str]) -> int:
    """Run it all; the first exit code that is not 0, or 0."""
    settings = [environment(broker, database, on) for broker, database in MATRIX]
    codes = []
    for (broker, database), variables in zip(MATRIX, settings, strict=True):
        say(f"\ncontainers: the integration tests on {broker} and {database}")
        codes.append(_pytest(["tests/integration", *arguments], variables))
    say("\ncontainers: testcontainers alone, and deploy/compose.yaml")
    codes.append(_pytest(["tests/containers", *arguments], settings[-1]))
    return next((code for code in codes if code != 0), 0)


def _pytest(arguments: list[str], variables: dict[str, str]) -> int:
    parallel = ("-n", "auto", "--dist", "worksteal")
    return subprocess.run(
        [sys.executable, "-m", "pytest", *parallel, *arguments], env=variables, check=False
    ).returncode


def main() -> int:
    """Run with an engine; 69 when there is none."""
    exit_on_signals()
    try:
        with engine() as on:
            return run(on, sys.argv[1:])
    except (EngineUnavailableError, ImageError) as error:
        say(f"containers: {error}")
        return 69
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
