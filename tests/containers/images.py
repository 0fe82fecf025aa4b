"""The images that tests and `deploy/` run on: pulled where there is a registry, else made from Debian's packages.

An image made here has the interface of the official one it stands for: the same variables, ports, data directories and
programs, so nothing else knows the difference. Each is kept under one tag with a digest of its recipe as a label; a
second run finds it and does nothing. The mirror is the one that apt is configured with (or FARMHAND_DEBIAN_MIRROR).
FARMHAND_IMAGES=packages pulls nothing.

    python -m tests.containers.images [rabbitmq-3.10 rabbitmq-4.0 postgres-15 postgres-17 python coordinator agent]
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.containers.engine import Engine, EngineUnavailableError, engine, exit_on_signals, say

_RECIPES: Final = Path(__file__).parent / "images"
_ROOT: Final = Path(__file__).parents[2]
_RABBITMQ: Final = _ROOT / "deploy" / "rabbitmq"
_LOCAL_AUTHORITIES: Final = Path("/usr/local/share/ca-certificates")
_LABEL: Final = "farmhand.recipe"


class ImageError(Exception):
    """An image can be neither found nor made; the text says why."""


@dataclass(frozen=True)
class Image:
    """One image: what it is called here, its official twin, and how Debian's packages make one like it.

    `files` are (source, path in the image), those under /etc go into the official twin too. `hooks` are shell commands
    with the packages' root as $1; `lines` are those of a Dockerfile that make the packages behave like the twin, and
    `official_lines` those that give the twin what we need besides.
    """

    tag: str
    official: str
    suite: str
    packages: tuple[str, ...]
    files: tuple[tuple[Path, str], ...] = ()
    hooks: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    official_lines: tuple[str, ...] = ()
    owner: str = "root"

    @property
    def recipe(self) -> str:
        """Digest of all that this file says about the image and of the files it takes in."""
        said = (
            self.official, self.suite, self.packages, self.hooks, self.lines, self.official_lines, self.owner
        )  # fmt: skip
        return _digest(repr(said).encode(), *(path.encode() + source.read_bytes() for source, path in self.files))

    @property
    def packages_tag(self) -> str:
        """Tag of the bare packages: a change of our files does not install them again."""
        return f"{self.tag}-packages-{_digest(repr((self.suite, self.packages, self.hooks)).encode())}"


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:12]


def _rabbitmq(version: str, suite: str) -> Image:
    return Image(
        tag=f"farmhand/rabbitmq:{version}",
        official=f"rabbitmq:{version}-management",
        suite=suite,
        packages=("rabbitmq-server", "ca-certificates"),
        files=(
            (_RABBITMQ / "enabled_plugins", "/etc/rabbitmq/enabled_plugins"),
            (_RABBITMQ / "rabbitmq.conf", "/etc/rabbitmq/conf.d/20-farmhand.conf"),
        ),
        hooks=('rm -f "$1/var/lib/rabbitmq/.erlang.cookie"',),
        lines=(
            "RUN chown -R rabbitmq:rabbitmq /etc/rabbitmq",
            "ENV HOME=/var/lib/rabbitmq LANG=C.UTF-8 RABBITMQ_LOGS=-",
            "USER rabbitmq",
            "VOLUME /var/lib/rabbitmq",
            "EXPOSE 5672 15672 15692",
            'CMD ["/usr/lib/rabbitmq/bin/rabbitmq-server"]',
        ),
        owner="rabbitmq",  # RABBITMQ_ENABLED_PLUGINS makes the broker write the file
    )


def _postgres(version: str, suite: str) -> Image:
    return Image(
        tag=f"farmhand/postgres:{version}",
        official=f"postgres:{version}",
        suite=suite,
        packages=(f"postgresql-{version}",),
        files=((_RECIPES / "postgres-entrypoint", "/usr/local/bin/postgres-entrypoint"),),
        hooks=(
            f'rm -rf "$1/var/lib/postgresql/{version}" "$1/etc/postgresql/{version}"',
            'chroot "$1" install -d -o postgres -g postgres -m 700 /var/lib/postgresql/data',
        ),
        lines=(
            "ENV LANG=C.UTF-8 PGDATA=/var/lib/postgresql/data",
            "RUN install -d -o postgres -g postgres /run/postgresql",
            "USER postgres",
            "VOLUME /var/lib/postgresql/data",
            "EXPOSE 5432",
            "STOPSIGNAL SIGINT",
            'ENTRYPOINT ["/usr/local/bin/postgres-entrypoint"]',
            'CMD ["postgres"]',
        ),
    )


IMAGES: Final[Mapping[str, Image]] = {
    "rabbitmq-3.10": _rabbitmq("3.10", "bookworm"),
    "rabbitmq-4.0": _rabbitmq("4.0", "trixie"),
    "postgres-15": _postgres("15", "bookworm"),
    "postgres-17": _postgres("17", "trixie"),
    # With systemd: a test boots the units of deploy/systemd in the image that is built on this one.
    "python": Image(
        tag="farmhand/python:3.11",
        official="python:3.11-slim-bookworm",
        suite="bookworm",
        packages=("python3", "python3-venv", "ca-certificates", "libstdc++6", "systemd", "systemd-sysv"),
        hooks=('chroot "$1" update-ca-certificates >&2',),
        lines=("ENV LANG=C.UTF-8 PIP_CERT=/etc/ssl/certs/ca-certificates.crt", 'CMD ["python3"]'),
        official_lines=("RUN apt-get update && apt-get install -y --no-install-recommends systemd systemd-sysv",),
    ),
}
#: Built by deploy/Dockerfile from the image `python`.
OURS: Final = ("coordinator", "agent")


def provide(name: str, on: Engine) -> str:
    """Return the tag of image *name*, having made it when it is not there or was made by another recipe."""
    if name in OURS:
        return _build_ours(name, on)
    image = IMAGES[name]
    if _label(image.tag, on) == image.recipe:
        return image.tag
    if on.environment.get("FARMHAND_IMAGES") == "packages" or not _pulled(image, on):
        if not _exists(image.packages_tag, on):
            _import_packages(image, on)
        _derive(image, image.packages_tag, image.files, image.lines, on)
    else:
        files = tuple(file for file in image.files if file[1].startswith("/etc/"))
        _derive(image, image.official, files, image.official_lines, on)
    return image.tag


def _label(tag: str, on: Engine) -> str:
    template = f'{{{{index .Config.Labels "{_LABEL}"}}}}'
    found = _docker(on, "image", "inspect", "--format", template, tag)
    return found.stdout.decode().strip() if found.returncode == 0 else ""


def _exists(tag: str, on: Engine) -> bool:
    return _docker(on, "image", "inspect", tag).returncode == 0


def _pulled(image: Image, on: Engine) -> bool:
    say(f"images: {image.tag}: pulling {image.official}")
    if _docker(on, "pull", "--quiet", image.official).returncode == 0:
        return True
    say(f"images: {image.tag}: {image.official} cannot be pulled")
    return False


def _derive(image: Image, base: str, files: tuple[tuple[Path, str], ...], lines: tuple[str, ...], on: Engine) -> None:
    """Build the image *base* plus *files* and *lines*, labelled with the recipe."""
    with tempfile.TemporaryDirectory(prefix="farmhand-image-") as context:
        dockerfile = [f"FROM {base}"]
        for source, path in files:
            shutil.copy(source, context)
            dockerfile.append(f"COPY --chown={image.owner}:{image.owner} {source.name} {path}")
        (Path(context) / "Dockerfile").write_text("\n".join([*dockerfile, *lines, ""]))
        _must(_docker(on, "build", "--label", f"{_LABEL}={image.recipe}", "--tag", image.tag, context), image.tag)


def _import_packages(image: Image, on: Engine) -> None:
    if shutil.which("mmdebstrap") is None:
        raise ImageError(f"{image.tag} cannot be made without mmdebstrap: apt-get install mmdebstrap")
    say(f"images: {image.tag}: making it from the packages of {image.suite} (about a minute, once)")
    with tempfile.TemporaryDirectory(prefix="farmhand-image-") as directory:
        archive = Path(directory) / "root.tar"
        made = subprocess.run(_mmdebstrap(image, archive), capture_output=True, check=False)
        if made.returncode != 0:
            raise ImageError(f"{image.tag}: mmdebstrap failed:\n{_last_lines(made.stderr)}")
        _must(_docker(on, "import", str(archive), image.packages_tag), image.tag)


def _mmdebstrap(image: Image, archive: Path) -> list[str]:
    command = [
        "mmdebstrap",
        "--variant=essential",
        f"--include={','.join(image.packages)}",
        '--aptopt=APT::Install-Recommends "false"',
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    ]
    if _LOCAL_AUTHORITIES.is_dir() and "ca-certificates" in image.packages:
        # A machine behind a proxy that signs for others trusts its authority; so must a build inside the image.
        command.append(f"--customize-hook=copy-in {_LOCAL_AUTHORITIES} /usr/local/share")
    command += [f"--customize-hook={hook}" for hook in image.hooks]
    return [*command, image.suite, str(archive), _mirror()]


def _mirror() -> str:
    """The Debian mirror that apt is configured with."""
    named = os.environ.get("FARMHAND_DEBIAN_MIRROR")
    if named:
        return named
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    codename = release.get("VERSION_CODENAME", "").strip('"')
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in listed.stdout.splitlines():
        suite, component, address = line.split(maxsplit=2)
        if (suite, component) == (codename, "main") and release.get("ID") == "debian":
            return address
    raise ImageError("apt names no Debian mirror here: set FARMHAND_DEBIAN_MIRROR to the address of one")


def _build_ours(name: str, on: Engine) -> str:
    """deploy/Dockerfile, from our own python image; the engine's cache makes a second build instant."""
    tag = f"farmhand/{name}:test"
    base = provide("python", on)
    say(f"images: {tag}: building deploy/Dockerfile")
    settings = [f"--build-arg={key}" for key in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL") if key in on.environment]
    built = _docker(
        on, "build", "--network=host", "--file", str(_ROOT / "deploy" / "Dockerfile"), "--target", name,
        "--build-arg", f"BASE_IMAGE={base}", *settings, "--tag", tag, str(_ROOT),
    )  # fmt: skip
    _must(built, tag)
    return tag


def _docker(on: Engine, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["docker", *arguments], env=on.environment, capture_output=True, check=False)


def _must(done: subprocess.CompletedProcess[bytes], tag: str) -> None:
    if done.returncode != 0:
        raise ImageError(f"{tag}: docker failed:\n{_last_lines(done.stdout + done.stderr)}")


def _last_lines(output: bytes) -> str:
    return "\n".join(output.decode(errors="replace").splitlines()[-25:])


def main(names: list[str]) -> int:
    """Provide the images *names*, or all; print their tags."""
    unknown = [name for name in names if name not in IMAGES and name not in OURS]
    if unknown:
        say(f"images: unknown {', '.join(unknown)}; there are {', '.join([*IMAGES, *OURS])}")
        return 2
    exit_on_signals()
    try:
        with engine() as on:
            for name in names or [*IMAGES, *OURS]:
                sys.stdout.write(f"{provide(name, on)}\n")
    except (EngineUnavailableError, ImageError) as error:
        say(f"images: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
