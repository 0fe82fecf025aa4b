"""What can go wrong with a call, as one exception; and what a command that meets it exits with."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final


class ExitCode(IntEnum):
    """How commands end."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    AUTHENTICATION = 4
    REFUSED = 5
    UNREACHABLE = 6
    TIMED_OUT = 7
    UNPLACEABLE = 8
    INTERRUPTED = 130


_BY_STATUS: Final[Mapping[int, ExitCode]] = MappingProxyType(
    {
        401: ExitCode.AUTHENTICATION,
        403: ExitCode.AUTHENTICATION,
        404: ExitCode.NOT_FOUND,
        408: ExitCode.UNREACHABLE,
        409: ExitCode.REFUSED,
        421: ExitCode.AUTHENTICATION,
    }
)
_FIRST_SERVER_ERROR: Final = 500


class FarmhandError(Exception):
    """A call that was not carried out: `detail` is one line that says what to do.

    `status` is that of HTTP, None when the coordinator was not reached; `kind` a word for programs (`not-found`,
    `conflict`, `invalid`, `unplaceable`, `unreachable`, …); `field` the part of the request at fault, when known.
    """

    def __init__(self, detail: str, *, status: int | None = None, kind: str = "", field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.kind = kind
        self.field = field

    @property
    def unreachable(self) -> bool:
        """Whether asking again later may help."""
        return self.exit_code is ExitCode.UNREACHABLE

    @property
    def exit_code(self) -> ExitCode:
        """What a command that ends with this error exits with."""
        if self.kind == "unplaceable":
            return ExitCode.UNPLACEABLE
        if self.status is None or self.status >= _FIRST_SERVER_ERROR:
            return ExitCode.UNREACHABLE
        return _BY_STATUS.get(self.status, ExitCode.USAGE)
