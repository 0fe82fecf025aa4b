"""Examples in the documents, run as they stand.

A page's blocks of code with the language `console` are run in order: each line that begins with `$ ` is a command line
of `farmhand` (a trailing `# exit 3` is its expected exit code, else 0), the lines after it are what it must print.
`NAME=value` before a command is its environment, and `$ NAME=$(farmhand …)` keeps what it prints for `$NAME`.
`...` in a line stands for anything, a line of `...` alone for any lines; blanks count as one. A block whose language is
followed by a file name (```` ```yaml shot.yaml ````) is that file. A line `<!-- farm: agents=2 slots=1 -->` says on
what farm the page's examples run; words there such as `agent.slots=2` are settings of the agents, others those of the
coordinator.
"""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_BLOCK: Final = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FARM: Final = re.compile(r"^<!-- farm: (.*) -->$", re.MULTILINE)
_KEEPING: Final = re.compile(r"(\w+)=\$\((.*)\)")
#: What the farm beside the command logs meanwhile.
_LOGGED: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[")
_EXIT: Final = re.compile(r"\s+# exit (\d+)$")


@dataclass(frozen=True, slots=True)
class Typed:
    """A command as a reader would type it, and what he would see."""

    words: list[str]
    code: int
    shown: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    #: Under which name what it prints is kept.
    kept_as: str | None = None

    def differs(self, code: int, output: str, errors: str) -> str | None:
        """What is wrong with the *output* and exit *code* of a run, None when it is as shown; *errors* only explain."""
        if code != self.code:
            return f"`{shlex.join(self.words)}` exits with {code}, not {self.code}:\n{output}{errors}"
        pattern = (
            "\n".join(_line(line) for line in self.shown)
            .replace("\n<any>", r"(?:\n[^\n]*)*")
            .replace("<any>", r"(?:[^\n]*\n)*[^\n]*")
        )
        said = (line for line in output.strip().splitlines() if not _LOGGED.match(line))
        lines = "\n".join(" ".join(line.split()) for line in said)
        if re.fullmatch(pattern, lines):
            return None
        return f"`{shlex.join(self.words)}` is shown to print\n" + "\n".join(self.shown) + f"\nbut prints\n{lines}"


@dataclass(slots=True)
class Page:
    """What a page asks for."""

    agents: int = 1
    slots: int = 2
    settings: dict[str, str] = field(default_factory=dict)
    agent_settings: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    typed: list[Typed] = field(default_factory=list)


def read(path: Path) -> Page:
    """The examples of the page at *path*."""
    text, page = path.read_text(), Page()
    for name, _, value in (word.partition("=") for line in _FARM.findall(text) for word in line.split()):
        if name in ("agents", "slots"):
            setattr(page, name, int(value))
        elif name.startswith("agent."):
            page.agent_settings[name.removeprefix("agent.")] = value
        else:
            page.settings[name] = value
    for language, name, body in _BLOCK.findall(text):
        if name:
            page.files[name] = body
        elif language == "console":
            page.typed += _session(body)
    return page


def _session(body: str) -> list[Typed]:
    typed: list[Typed] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            code = _EXIT.search(line)
            text = _EXIT.sub("", line[2:])
            keeping = _KEEPING.fullmatch(text)
            words = shlex.split(keeping[2] if keeping else text)
            environment = dict(word.split("=", 1) for word in words[: words.index("farmhand")])
            words = words[len(environment) + 1 :]
            typed.append(Typed(words, int(code[1]) if code else 0, [], environment, keeping[1] if keeping else None))
        else:
            typed[-1].shown.append(" ".join(line.split()))
    return typed


def _line(shown: str) -> str:
    return "<any>" if shown == "..." else re.escape(shown).replace(re.escape("..."), r"[^\n]*")
