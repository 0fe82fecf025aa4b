"""Messages as no agent sends them, drawn at random: what a broken, hostile, older or newer program may send.

Some are whole, most are broken in one place or more: as bytes, as JSON, in their values, in who sent them and by which
queue. A message that was sent before is sent again.
"""

import json
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

from coordinator.operations.ports import Delivery
from schemas import topology
from tests.unit.schemas.instances import instances, json_values

#: Whom the broker knows; whom it must not be.
USER: Final = "farm"
STRANGERS: Final = (None, "", "mallory", "w-node-1", "Farm")
QUEUES: Final = {"ev": topology.EVENTS_QUEUE, "hb": topology.HEARTBEATS_QUEUE, "log": topology.LOGS_QUEUE}
#: As bytes of JSON: what no decoder may take, what validation lets pass, what Postgres refuses, what is merely odd.
POISON: Final = (
    b'"\\u0000"', b'"a\\u0000b"', b'"\\ud800"', b'"\\udfff\\ud800"', b'"\xed\xa0\x80"', b'"\xff"', b"NaN", b"Infinity",
    b"-Infinity", b"1e400", b"-1E+0999", b"1e-400", b"9223372036854775807", b"9223372036854775808", b"2147483648",
    b"-9223372036854775809", b"-1", b"0", b"1.5", b"-0.0", b"1" * 4300, b"1" * 4301, b"0." + b"1" * 5000,
    b"[" * 150 + b"]" * 150, b"[" * 3000, b'{"a":' * 190 + b"0" + b"}" * 190, b"null", b"true", b'""', b"[]", b"{}",
    b'"\\u202e"', b'"\\ud83d\\ude00"', b'"' + b"x" * 5000 + b'"', b'"0001-01-01T00:00:00Z"',
    b'"9999-12-31T23:59:59.999999-23:59"', b'"0001-01-01T00:00:00+23:59"', b'"-infinity"', b'"\\\\u0000"',
    b'{"type":"worker.online"}', b'["\\u0000",{"\\u0000":NaN}]',
)  # fmt: skip
_MARK: Final = "\ue000"


class Sent(NamedTuple):
    """A message as it is published, and who the broker says published it."""

    key: str
    body: bytes
    user_id: str | None = USER

    @property
    def queue(self) -> str:
        """Where its key takes it."""
        return QUEUES.get(self.key.partition(".")[0], topology.EVENTS_QUEUE)

    def delivered(self, tag: int = 1) -> Delivery:
        """As it comes out of its queue."""
        return Delivery(self.queue, self.key, self.body, 1, tag, user_id=self.user_id)


events: st.SearchStrategy[Any] = st.one_of(
    *(
        st.builds(lambda event, kind=kind: {"type": kind} | event, instances(kind))
        for kind in (
            "worker.online", "worker.heartbeat", "worker.state_changed", "worker.offline", "task.started",
            "task.progress", "task.finished", "task.promoted", "task.output", "task.log",
        )
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("task.spawn"),
            "task": st.integers(-1, 2**31),
            "attempt": st.integers(0, 3),
            "spec": st.just({"name": "more", "kind": "echo", "commands": [{"name": "echo"}]}) | json_values,
        }
    ),
    st.fixed_dictionaries({"type": st.sampled_from(["worker.sang", "task.dreamt", ""])}, optional={"of": json_values}),
    st.fixed_dictionaries({"type": json_values}),
)  # fmt: skip


@st.composite
def envelopes(draw: st.DrawFn, worker: str) -> dict[str, Any]:
    """An envelope of *worker* with what may be events."""
    said: dict[str, Any] = {
        "v": draw(st.sampled_from([1, 1, 1, 2, 0, 1001, "1"])),
        "worker": worker,
        "epoch": draw(st.sampled_from([0, 1, 2, 2**63 - 1])),
        "instance": str(draw(st.uuids())),
        "seq": draw(st.integers(0, 2**63 - 1)),
        "sent_at": "2026-01-01T00:00:00Z",
        "events": draw(st.lists(events, max_size=3)),
    }
    if draw(st.booleans()):
        said["of_tomorrow"] = draw(json_values)
    return said


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in *value*."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """*value* with *new* at *path*."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = put(copy[path[0]], path[1:], new)
    return copy


@st.composite
def bodies(draw: st.DrawFn, worker: str) -> bytes:
    """The bytes of an envelope: whole, with poison in some place, or with bytes that are none of JSON's."""
    said: Any = draw(envelopes(worker))
    if draw(st.booleans()):
        said = put(said, draw(st.sampled_from(places(said))), _MARK)
        poison = draw(st.sampled_from(POISON))
        return json.dumps(said, ensure_ascii=False).encode().replace(f'"{_MARK}"'.encode(), poison)
    body = json.dumps(said, ensure_ascii=draw(st.booleans())).encode()
    match draw(st.integers(0, 9)):
        case 0:
            return body[: draw(st.integers(0, len(body)))]
        case 1:
            at = draw(st.integers(0, len(body)))
            return body[:at] + draw(st.binary(min_size=1, max_size=4)) + body[at:]
        case 2:
            return body + b" " * draw(st.sampled_from([1, 65_536]))
    return body


@st.composite
def messages(draw: st.DrawFn, worker: str = "node-1", user: str = USER) -> Sent:
    """A message that names *worker*, under its key or another's, from *user* or somebody else."""
    key = f"{draw(st.sampled_from(['ev', 'ev', 'ev', 'hb', 'log']))}.{worker}"
    if draw(st.integers(0, 9)) == 0:
        odd = ["ev", "ev.node-2", "hb..", "log.node-1.x", "job.node-1", "job.", "ev.\u00fc", "ev.-"]
        key = draw(st.sampled_from(odd))
    user_id = draw(st.sampled_from(STRANGERS)) if draw(st.integers(0, 9)) == 0 else user
    any_bytes = draw(st.integers(0, 19)) == 0
    return Sent(key, draw(st.binary(max_size=50) if any_bytes else bodies(worker)), user_id)
