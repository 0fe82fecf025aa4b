"""How many random examples a test draws: a few in each run, many in `make test-all` (`--hypothesis-profile=thorough`).

A test whose examples are dear takes a part of them: `@settings(max_examples=examples(0.2))`.
"""

from typing import Final

from hypothesis import settings

BRIEF: Final = "brief"
# How fast an example is says nothing about whether it is right, and other tests run beside it.
settings.register_profile(BRIEF, max_examples=25, deadline=None)
settings.register_profile("thorough", max_examples=250, deadline=None)


def examples(part: float) -> int:
    """A *part* of the examples that the profile draws, a few at least."""
    return max(4, round(settings().max_examples * part))
