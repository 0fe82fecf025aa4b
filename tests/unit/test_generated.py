"""What is generated and committed is what the code says now, and what it claims to be."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker
from jsonschema.validators import validator_for

from docs import generate_states
from schemas import generate
from schemas.catalog import CATALOG, ENVELOPES
from schemas.envelope import COMMAND_TYPES, EVENT_TYPES

SCHEMAS = Path(generate.HERE)
VENDORED = Path(__file__).parents[1] / "vendor" / "asyncapi" / "3.0.0.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    read = yaml.safe_load((SCHEMAS / "asyncapi.yaml").read_text())
    assert isinstance(read, dict)
    return read


def resolved(document: dict[str, Any], reference: str) -> Any:
    """What a local reference leads to."""
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for item in value.values() for found in references(item)]
    return [found for item in value for found in references(item)] if isinstance(value, list) else []


def test_the_committed_schemas_are_those_of_the_models() -> None:
    assert generate.stale() == [], "run python -m schemas.generate"


def test_the_committed_states_are_those_of_the_tables() -> None:
    assert generate_states.PATH.read_text() == generate_states.text(), "run python -m docs.generate_states"


def test_a_missing_a_changed_and_an_orphaned_file_are_stale(tmp_path: Path) -> None:
    generate.write(tmp_path)
    assert generate.stale(tmp_path) == []

    (tmp_path / "asyncapi.yaml").write_text("asyncapi: 2.0.0\n")
    (tmp_path / "jsonschema" / "assign.json").unlink()
    (tmp_path / "jsonschema" / "task.forgotten.json").write_text("{}")

    assert [path.name for path in generate.stale(tmp_path)] == ["asyncapi.yaml", "assign.json", "task.forgotten.json"]
    generate.write(tmp_path)
    assert generate.stale(tmp_path) == []


def test_the_check_of_the_command_fails_when_a_file_is_stale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main(["--check"]) == 0
    assert generate.main(["--check"], tmp_path) == 1
    assert "schemas/asyncapi.yaml is stale: run python -m schemas.generate" in capsys.readouterr().err


def test_the_catalog_names_every_message_once() -> None:
    names = [entry.name for entry in CATALOG]
    assert len(set(names)) == len(names)
    assert {entry.name for entry in CATALOG if entry.model not in ENVELOPES.values()} == (
        EVENT_TYPES | COMMAND_TYPES | {"job.submit", "job.reply"}
    )


@pytest.mark.parametrize("path", sorted((SCHEMAS / "jsonschema").glob("*.json")), ids=lambda path: path.stem)
def test_each_schema_is_a_json_schema(path: Path) -> None:
    schema = json.loads(path.read_text())
    assert validator_for(schema) is Draft202012Validator
    Draft202012Validator.check_schema(schema)
    assert schema["title"] == path.stem


def test_the_document_is_valid_by_the_official_schema_of_asyncapi_3(document: dict[str, Any]) -> None:
    official = json.loads(VENDORED.read_text())
    assert official["$id"] == "http://asyncapi.com/definitions/3.0.0/asyncapi.json"
    faults = [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in Draft7Validator(official, format_checker=FormatChecker()).iter_errors(document)
    ]
    assert faults == []


def test_the_official_schema_finds_faults(document: dict[str, Any]) -> None:
    official = Draft7Validator(json.loads(VENDORED.read_text()))
    wrong = json.loads(json.dumps(document))
    wrong["operations"]["workerBeat"]["action"] = "shout"
    assert not official.is_valid(wrong)
    wrong = json.loads(json.dumps(document))
    wrong["channels"]["eventsQueue"]["bindings"]["amqp"]["is"] = "tunnel"
    assert not official.is_valid(wrong)


def test_every_reference_of_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in references(document):
        if reference.startswith("#/"):
            assert resolved(document, reference)
        else:
            assert (SCHEMAS / reference).is_file(), reference


def test_the_messages_of_an_operation_are_messages_of_its_channel(document: dict[str, Any]) -> None:
    for operation in document["operations"].values():
        channel = operation["channel"]["$ref"]
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"])


def test_every_message_of_the_catalog_is_in_the_document(document: dict[str, Any]) -> None:
    pointed_at = {Path(reference).stem for reference in references(document) if reference.startswith("./")}
    assert pointed_at == {entry.name for entry in CATALOG} | ENVELOPES.keys()
