"""What is written out by hand is what the wire contract says."""

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.attempt import Attempt, AttemptState
from coordinator.operations.letters import assigned
from coordinator.operations.store import Order
from schemas.task import AssignedAttempt, Command, Input, Resources

NOW = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)


@given(
    TEXT,
    st.dictionaries(TEXT, st.one_of(TEXT, st.integers(-(2**63), 2**63 - 1), st.booleans(), st.none()), max_size=3),
    st.lists(st.tuples(TEXT, st.integers(1, 9), st.lists(st.integers(1, 5), max_size=3)), max_size=2),
)
def test_an_assigned_attempt_reads_as_its_model(
    name: str, parameters: dict[str, object], inputs: list[tuple[str, int, list[int]]]
) -> None:
    body = {
        "kind": "exec",
        "commands": [{"name": "exec", "parameters": parameters, "steps": 3}],
        "environment": {"LANG": name},
        "resources": {"slots": 2, "cpus": 1.5, "memory_mb": 3, "gpus": 0},
        "promote": None,
        "upload": ["*.png"],
    }
    attempt = Attempt(7, 2, 1, 1, "node-1", 4, AttemptState.ASSIGNED, NOW, NOW)

    text = assigned(attempt, Order(3, name, json.dumps(body)[1:-1], inputs), 30.0)

    assert AssignedAttempt.model_validate_json(text) == AssignedAttempt(
        task=7,
        attempt=2,
        job=3,
        name=name,
        kind="exec",
        commands=[Command(name="exec", parameters=parameters, steps=3)],
        environment={"LANG": name},
        resources=Resources(slots=2, cpus=1.5, memory_mb=3),
        lease_s=30.0,
        directory="7/2",
        inputs=[Input(name=one, first=first, attempts=numbers) for one, first, numbers in inputs],
        upload=["*.png"],
        day=NOW.date(),
    )
