"""Regular expressions that people give us: which of them cannot take for ever on any text."""

import importlib
import re
from typing import Any, Final

#: The parser of regular expressions has no public name; it is the one that `re` itself uses.
_sre: Any = importlib.import_module("re._constants")
_sre_parser: Any = importlib.import_module("re._parser")
#: Unbounded repetitions in one expression: each multiplies the time that the worst text takes.
REPETITIONS: Final = 6


def compile_harmless(pattern: str, what: str) -> re.Pattern[str]:
    """*pattern* compiled. Raises ValueError with what is wrong with it, called *what*."""
    try:
        compiled = re.compile(pattern)
        repetitions = _unbounded(_sre_parser.parse(pattern), what, inside=False)
    except re.error as error:
        raise ValueError(f"{what} is not a regular expression: {error}") from None
    if repetitions > REPETITIONS:
        raise ValueError(f"{what} has {repetitions} open repetitions, more than {REPETITIONS}")
    return compiled


def _unbounded(tree: Any, what: str, *, inside: bool) -> int:
    """How many open repetitions are in *tree*. Raises ValueError for one within another: those can take for ever."""
    count = 0
    for operation, argument in tree:
        if operation in (_sre.MAX_REPEAT, _sre.MIN_REPEAT, getattr(_sre, "POSSESSIVE_REPEAT", None)):
            _, most, body = argument
            wide = most > 1
            if wide and inside:
                raise ValueError(f"{what} repeats a repetition")
            count += (1 if wide else 0) + _unbounded(body, what, inside=inside or wide)
        elif operation is _sre.BRANCH:
            if inside:
                raise ValueError(f"{what} repeats alternatives")
            count += sum(_unbounded(branch, what, inside=inside) for branch in argument[1])
        elif operation is _sre.SUBPATTERN:
            count += _unbounded(argument[3], what, inside=inside)
        elif operation in (_sre.ASSERT, _sre.ASSERT_NOT):
            count += _unbounded(argument[1], what, inside=inside)
    return count
