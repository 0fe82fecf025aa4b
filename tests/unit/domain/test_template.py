"""Template filling: typed values come out as they went in, or an error names the parameter."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.template import (
    Parameter,
    ParameterError,
    ParameterType,
    bind,
    fill_parameters,
    places,
)

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, st.lists(st.integers(), max_size=2), st.just("{{x")
)


@st.composite
def parameters(draw: st.DrawFn) -> list[Parameter]:
    made = []
    for name in draw(st.lists(NAMES, unique=True, max_size=5)):
        kind = draw(st.sampled_from(ParameterType))
        bounded = kind in (ParameterType.INTEGER, ParameterType.NUMBER)
        low = draw(st.none() | st.integers(-100, 100)) if bounded else None
        high = draw(st.none() | st.integers(-100, 100)) if bounded else None
        choices = draw(st.lists(st.integers() | TEXTS | st.booleans(), min_size=1, max_size=4))
        made.append(
            Parameter(
                name,
                kind,
                minimum=low,
                maximum=high,
                pattern="[a-z]*" if kind is ParameterType.STRING and draw(st.booleans()) else None,
                choices=tuple(choices) if kind is ParameterType.CHOICE else (),
            )
        )
    return made


def fits(one: Parameter, value: Any) -> bool:
    """Whether *value* is what the parameter says it is."""
    match one.type:
        case ParameterType.INTEGER:
            right = type(value) is int
        case ParameterType.NUMBER:
            right = type(value) in (int, float) and math.isfinite(value)
        case ParameterType.BOOLEAN:
            return type(value) is bool
        case ParameterType.CHOICE:
            return any(value == choice and type(value) is type(choice) for choice in one.choices)
        case _:
            return type(value) is str and "{{" not in value
    return right and (one.minimum is None or value >= one.minimum) and (one.maximum is None or value <= one.maximum)


def _bound(asked: list[Parameter], values: dict[str, Any]) -> dict[str, Any] | None:
    """What becomes of *values*; None when the error names the parameter that is wrong."""
    try:
        return bind(asked, values)
    except ParameterError as error:
        if error.parameter not in values or repr(error.parameter) not in str(error):
            raise AssertionError(f"{error} names no parameter") from error
        return None


@given(st.data())
def test_values_come_out_as_they_went_in_or_an_error_names_the_parameter(data: st.DataObject) -> None:
    asked = data.draw(parameters())
    values = {one.name: data.draw(ANYTHING, one.name) for one in asked}
    bound = _bound(asked, values)
    if bound is None:
        return
    assert all(fits(one, bound[one.name]) for one in asked)
    assert bind(asked, bound) == bound
    for one in asked:
        place = f"{{{{parameters.{one.name}}}}}"
        assert fill_parameters({"a": [place]}, bound) == {"a": [bound[one.name]]}
        assert fill_parameters(f"x{place}y", bound).startswith("x")


@given(st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.booleans()))
def test_what_is_typed_as_a_text_is_the_value_it_shows(value: Any) -> None:
    kind = {int: ParameterType.INTEGER, float: ParameterType.NUMBER, bool: ParameterType.BOOLEAN}[type(value)]
    text = str(value).lower() if kind is ParameterType.BOOLEAN else repr(value)
    assert bind([Parameter("x", kind)], {"x": text}) == {"x": value}


@pytest.mark.parametrize(
    ("parameter", "value", "said"),
    [
        (Parameter("frames", ParameterType.INTEGER), "many", "'frames' must be a whole number, not \"many\""),
        (Parameter("frames", ParameterType.INTEGER, maximum=9), 10, "'frames' must be at most 9, not 10"),
        (Parameter("lens", ParameterType.CHOICE, choices=("35mm", "50mm")), "20mm", 'must be one of "35mm", "50mm"'),
        (Parameter("scene", ParameterType.PATH), "../x", "'scene' must be a path without .."),
        (Parameter("shot", ParameterType.STRING, pattern="s[0-9]+"), "x1", "'shot' must match s\\[0-9\\]\\+"),
        (Parameter("shot", ParameterType.STRING), "{{index}}", "'shot' must not hold {{"),
    ],
)
def test_an_error_says_what_is_wrong_with_which_parameter(parameter: Parameter, value: Any, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        bind([parameter], {parameter.name: value})


def test_what_is_missing_and_what_is_unknown_are_named() -> None:
    frames = Parameter("frames", ParameterType.INTEGER)
    with pytest.raises(ParameterError, match=r"'frames' is required \(integer\)"):
        bind([frames], {})
    with pytest.raises(ParameterError, match="'frame' does not exist; there are: frames"):
        bind([frames], {"frame": 1})


def test_values_are_not_looked_through_for_places() -> None:
    assert list(places({"a": ["{{parameters.x}} {{index}}"], "b": "{{ parameters.y }}"})) == ["x", "y"]
    assert fill_parameters("{{parameters.x}}-{{index}}", {"x": "{{parameters.x}}"}) == "{{parameters.x}}-{{index}}"
