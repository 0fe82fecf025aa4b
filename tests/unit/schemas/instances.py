"""Values that a JSON Schema of ours allows, drawn at random: what a stranger might send who has only the schemas."""

import json
from datetime import UTC, date, datetime
from typing import Any

from hypothesis import strategies as st

from schemas.generate import HERE

SCHEMAS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted((HERE / "jsonschema").glob("*.json"))
}
BIGGEST = 2**63 - 1

#: Text that can be stored: no NUL, no lone surrogate.
texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30)
numbers = st.integers(-BIGGEST - 1, BIGGEST) | st.floats(allow_nan=False, allow_infinity=False)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
_FORMATS: dict[str, st.SearchStrategy[str]] = {
    "uuid": st.uuids().map(str),
    "date": st.dates(date(1970, 1, 1)).map(str),
    "date-time": st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)).map(str),  # noqa: DTZ001 - given a zone
}


def instances(name: str) -> st.SearchStrategy[Any]:
    """Values of the message or envelope *name*."""
    return _of(SCHEMAS[name], SCHEMAS[name].get("$defs", {}))


def _of(schema: dict[str, Any], definitions: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return st.deferred(lambda: _of(definitions[schema["$ref"].rpartition("/")[2]], definitions))
    if "const" in schema or "enum" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return st.one_of([_of(one, definitions) for one in choices if not one.get("$ref", "").endswith("/TaskSpawn")])
    if schema.get("type") == "object":
        return _objects(schema, definitions)
    if schema.get("type") == "array":
        most = min(schema.get("maxItems", 3), 3)
        return st.lists(_of(schema["items"], definitions), min_size=schema.get("minItems", 0), max_size=most)
    return _scalars(schema)


def _scalars(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    match schema.get("type"):
        case "string":
            return _strings(schema)
        case "integer":
            most = schema.get("maximum", schema["exclusiveMaximum"] - 1 if "exclusiveMaximum" in schema else BIGGEST)
            return st.integers(schema.get("minimum", -BIGGEST), most)
        case "number":
            least = schema.get("minimum", schema.get("exclusiveMinimum"))
            return st.floats(
                least,
                schema.get("maximum"),
                allow_nan=False,
                allow_infinity=False,
                exclude_min="exclusiveMinimum" in schema,
            )
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
    return json_values


def _objects(schema: dict[str, Any], definitions: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "properties" not in schema:
        rest = schema.get("additionalProperties", True)
        keys = _strings(schema.get("propertyNames", {}))
        return st.dictionaries(keys, json_values if rest is True else _of(rest, definitions), max_size=3)
    required = schema.get("required", [])
    fields = {name: _of(one, definitions) for name, one in schema["properties"].items()}
    return st.fixed_dictionaries(
        {name: fields[name] for name in required},
        optional={name: one for name, one in fields.items() if name not in required},
    )


def _strings(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    if "format" in schema:
        return _FORMATS[schema["format"]]
    if "pattern" in schema:
        return st.from_regex(schema["pattern"].replace("$", r"\Z"), fullmatch=False)
    most = min(schema.get("maxLength", 40), 40)
    return st.text(
        st.characters(exclude_characters="\x00", exclude_categories=["Cs"]),
        min_size=schema.get("minLength", 0),
        max_size=most,
    )
