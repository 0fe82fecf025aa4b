"""Writes what others read of the contract: a JSON Schema for each message and envelope, and an AsyncAPI 3 document.

python -m schemas.generate            write them
python -m schemas.generate --check    exit with 1 when a file is not what would be written
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from schemas.asyncapi import document
from schemas.catalog import CATALOG, ENVELOPES
from schemas.plain_yaml import to_yaml

HERE: Final = Path(__file__).resolve().parent
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class _Plain(GenerateJsonSchema):
    """JSON Schema and nothing else: OpenAPI's `discriminator` says no more than the `const` of each `type`."""

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        made = super().tagged_union_schema(schema)
        made.pop("discriminator", None)
        return made


def json_schema(name: str, model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of *model*, under the name that it has on the wire."""
    made = model.model_json_schema(schema_generator=_Plain)
    made.pop("title", None)
    _always_said(made)
    return {"$schema": DIALECT, "title": name} | made


def _always_said(schema: dict[str, Any]) -> None:
    """`type` has a default in Python; on the wire it is what tells a message."""
    for one in (schema, *schema.get("$defs", {}).values()):
        if "const" in one.get("properties", {}).get("type", {}):
            one["properties"]["type"].pop("default", None)
            one["required"] = ["type", *one.get("required", [])]


def files() -> dict[Path, str]:
    """What is to be written, by path below the package."""
    schemas = {entry.name: entry.model for entry in CATALOG} | ENVELOPES
    made = {
        Path("jsonschema") / f"{name}.json": json.dumps(json_schema(name, model), indent=2, ensure_ascii=False) + "\n"
        for name, model in schemas.items()
    }
    made[Path("asyncapi.yaml")] = to_yaml(document())
    return made


def stale(root: Path = HERE) -> list[Path]:
    """Files below *root* that are missing, other than they should be, or nobody's."""
    wanted = files()
    there = {path.relative_to(root) for path in (root / "jsonschema").glob("*")}
    wrong = [path for path, text in wanted.items() if not (root / path).is_file() or (root / path).read_text() != text]
    return sorted([*wrong, *(there - wanted.keys())])


def write(root: Path = HERE) -> None:
    """Write all files below *root*, and remove those that are nobody's."""
    wanted = files()
    (root / "jsonschema").mkdir(exist_ok=True)
    for path, text in wanted.items():
        (root / path).write_text(text)
    for path in (root / "jsonschema").glob("*"):
        if path.relative_to(root) not in wanted:
            path.unlink()


def main(arguments: list[str], root: Path = HERE) -> int:
    """The command."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m schemas.generate [--check]\n")
        return 2
    if not arguments:
        write(root)
        return 0
    wrong = stale(root)
    for path in wrong:
        sys.stderr.write(f"schemas/{path} is stale: run python -m schemas.generate\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
