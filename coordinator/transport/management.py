"""The doctor's look at the broker through its management interface, where there is one: what AMQP does not tell.

Alarms, file handles, plugins and exact bindings. Promises: whatever is wrong is an answer, never an exception.
"""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import httpx

from schemas.topology import EVENTS_EXCHANGE, QUEUES
from schemas.views import CheckState, CheckView

TIMEOUT_S: Final = 5.0
#: A connection takes one, a quorum queue about three, a classic one two when it is read.
FEW_FILES: Final = 4096
_FULL: Final = 0.8
#: Plugins that somebody uses, and what is missing without them.
PLUGINS: Final = {
    "rabbitmq_event_exchange": "dead workers are noticed by their silence only",
}


async def examine(management_url: str | None, amqp_url: str) -> list[CheckView]:
    """Look at the broker through *management_url* (with its user and password)."""
    if not management_url:
        said = "alarms, file handles and exact bindings were not looked at"
        return [_say("management", said, "set FARMHAND_MANAGEMENT_URL to look at them too", CheckState.UNKNOWN)]
    parts = urlsplit(management_url)
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    place = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    vhost = quote(unquote(urlsplit(amqp_url).path[1:]) or "/", safe="")
    try:
        async with httpx.AsyncClient(base_url=f"{place}/api/", auth=login, timeout=TIMEOUT_S, trust_env=False) as http:
            nodes = await _get(http, "nodes")
            bindings = await _get(http, f"exchanges/{vhost}/{quote(EVENTS_EXCHANGE, safe='')}/bindings/source")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
        if status in (401, 403):
            said, remedy = "it refuses the user", "FARMHAND_MANAGEMENT_URL needs a user with the tag monitoring"
        else:
            said, remedy = f"it gave no answer: {str(error) or type(error).__name__}", "see FARMHAND_MANAGEMENT_URL"
        return [_say("management", said, remedy, CheckState.WARNING)]
    return [*_bindings(bindings or []), *(check for node in nodes or [] for check in _node(node))]


async def _get(http: httpx.AsyncClient, path: str) -> Any:
    answer = await http.get(path)
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    return answer.raise_for_status().json()


def _say(name: str, said: str, remedy: str = "", state: CheckState = CheckState.OK) -> CheckView:
    return CheckView(part="broker", name=name, state=state, said=said, remedy=remedy)


def _bindings(bindings: list[dict[str, Any]]) -> Iterator[CheckView]:
    there = {(one["destination"], one["routing_key"]) for one in bindings if one["destination_type"] == "queue"}
    missing = [f"{key} to {queue.name}" for queue in QUEUES for key in queue.keys if (queue.name, key) not in there]
    state = CheckState.WRONG if missing else CheckState.OK
    yield _say(
        "bindings",
        f"missing: {', '.join(missing)}" if missing else "all there",
        "restart a coordinator: it binds them" if missing else "",
        state,
    )


def _node(node: dict[str, Any]) -> Iterator[CheckView]:
    name = node.get("name", "?")
    if not node.get("running", True):
        yield _say(f"node {name}", "does not run", "start it, or see rabbitmqctl cluster_status", CheckState.WRONG)
        return
    alarms = [word for word in ("mem", "disk_free") if node.get(f"{word}_alarm")]
    yield _say(
        f"alarms of {name}",
        f"short of {' and '.join('memory' if word == 'mem' else 'disk' for word in alarms)}: it takes no messages"
        if alarms
        else "none",
        "free some, or raise vm_memory_high_watermark or disk_free_limit" if alarms else "",
        CheckState.WRONG if alarms else CheckState.OK,
    )
    if total := node.get("fd_total"):
        used = node.get("fd_used") or 0
        few = total < FEW_FILES or used > _FULL * total
        yield _say(
            f"file handles of {name}",
            f"{used} of {total} in use",
            "raise LimitNOFILE of the broker to 65536: without handles new connections hang" if few else "",
            CheckState.WARNING if few else CheckState.OK,
        )
    missing = [plugin for plugin in PLUGINS if plugin not in node.get("enabled_plugins", PLUGINS)]
    yield _say(
        f"plugins of {name}",
        f"off: {', '.join(missing)}" if missing else "all that are of use",
        "; ".join(f"rabbitmq-plugins enable {plugin}: without it {PLUGINS[plugin]}" for plugin in missing),
        CheckState.WARNING if missing else CheckState.OK,
    )
