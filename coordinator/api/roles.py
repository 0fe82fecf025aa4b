"""What each route needs, on one screen. A route that is not here is for admins only; a test fails until it is here."""

from collections.abc import Mapping
from typing import Final

from fastapi import Request

from coordinator.api.farm import caller_of
from coordinator.api.problems import ProblemError
from coordinator.domain.access import allows
from schemas.roles import Role

_V, _S, _O, _A = Role.VIEWER, Role.SUBMITTER, Role.OPERATOR, Role.ADMIN

#: (method, path below /api/v1) -> the least role.
NEEDS: Final[Mapping[tuple[str, str], Role]] = {
    ("GET", "/info"): _V,
    ("GET", "/queues"): _V,
    ("GET", "/capacity"): _V,
    ("GET", "/doctor"): _O,
    ("GET", "/freezes"): _V,
    ("POST", "/freezes/{zone}/thaw"): _O,
    # jobs and tasks
    ("GET", "/jobs"): _V,
    ("POST", "/jobs"): _S,
    ("GET", "/jobs/{job}"): _V,
    ("GET", "/jobs/{job}/tasks"): _V,
    ("GET", "/jobs/{job}/why"): _V,
    ("GET", "/jobs/{job}/story"): _V,
    ("GET", "/jobs/{job}/picture"): _V,
    ("GET", "/jobs/{job}/blocklist"): _V,
    ("POST", "/jobs/{job}/unblock"): _S,
    ("POST", "/jobs/{job}/cancel"): _S,
    ("POST", "/jobs/{job}/requeue"): _S,
    ("PUT", "/jobs/{job}/priority"): _S,
    ("PUT", "/jobs/{job}/tags"): _S,
    ("PUT", "/jobs/{job}/keep"): _S,
    ("POST", "/jobs/{job}/archive"): _O,
    ("GET", "/tasks/{task}"): _V,
    ("GET", "/tasks/{task}/log"): _V,
    ("GET", "/tasks/{task}/why"): _V,
    ("GET", "/tasks/{task}/story"): _V,
    ("POST", "/tasks/{task}/cancel"): _S,
    ("POST", "/tasks/{task}/requeue"): _S,
    ("GET", "/tasks/{task}/attempts/{attempt}/outputs/{name}"): _V,
    ("POST", "/jobs/{job}/pause"): _S,
    ("POST", "/jobs/{job}/resume"): _S,
    ("PUT", "/jobs/{job}/limit"): _S,
    ("POST", "/tasks/{task}/pause"): _S,
    ("POST", "/tasks/{task}/resume"): _S,
    ("GET", "/limits"): _V,
    ("GET", "/limits/story"): _V,
    ("PUT", "/limits/{scope}/{name}"): _O,
    ("PUT", "/weights/{submitter}"): _O,
    ("PUT", "/fair-share"): _O,
    ("POST", "/queues/{queue}/pause"): _O,
    ("POST", "/queues/{queue}/resume"): _O,
    ("PUT", "/tasks/{task}/attempts/{attempt}/outputs/{name}"): Role.AGENT,
    # workers
    ("GET", "/workers"): _V,
    ("GET", "/workers/{worker}"): _V,
    ("GET", "/workers/{worker}/story"): _V,
    ("POST", "/workers/{worker}/state"): _O,
    ("PUT", "/workers/{worker}/labels"): _O,
    ("DELETE", "/workers/{worker}"): _O,
    ("PUT", "/workers/{worker}/sleep"): _O,
    ("DELETE", "/workers/{worker}/sleep"): _O,
    ("PUT", "/workers/{worker}/idle"): _O,
    ("DELETE", "/workers/{worker}/idle"): _O,
    ("GET", "/idle"): _V,
    ("PUT", "/idle"): _O,
    # templates and schedules
    ("GET", "/templates"): _V,
    ("POST", "/templates"): _S,
    ("GET", "/templates/{name}"): _V,
    ("DELETE", "/templates/{name}"): _O,
    ("POST", "/templates/{name}/submit"): _S,
    ("GET", "/schedules"): _V,
    ("POST", "/schedules"): _S,
    ("GET", "/schedules/{name}"): _V,
    ("POST", "/schedules/{name}/pause"): _S,
    ("POST", "/schedules/{name}/resume"): _S,
    ("POST", "/schedules/{name}/run"): _S,
    ("DELETE", "/schedules/{name}"): _O,
    ("GET", "/watched"): _V,
    # parked messages
    ("GET", "/parked"): _V,
    ("GET", "/parked/{parked}"): _V,
    ("POST", "/parked/{parked}/replay"): _O,
    ("POST", "/parked/{parked}/drop"): _O,
    # statistics
    ("GET", "/statistics"): _V,
    ("GET", "/statistics/series"): _V,
    ("GET", "/statistics/series.csv"): _V,
    ("GET", "/statistics/activity"): _V,
    ("GET", "/statistics/activity.csv"): _V,
    # access
    ("GET", "/access"): _A,
    ("POST", "/access"): _A,
    ("POST", "/access/gateways"): _A,
    ("DELETE", "/access/{name}"): _A,
}
#: Routes beside /api/v1 that need no token: whether it lives, what it measures, and what calls there are (for whoever
#: has a token: it lies below /api/).
FREE: Final = frozenset({"/healthz", "/readyz", "/metrics", "/api/v1/openapi.json"})
BELOW: Final = "/api/v1"


def needed(method: str, path: str) -> Role:
    """The least role for the route with this method and *path* as it is declared."""
    return NEEDS.get(("GET" if method == "HEAD" else method, path.removeprefix(BELOW)), Role.ADMIN)


def authorize(request: Request) -> None:
    """Refuse a caller whose role is not enough for the route that was found."""
    caller, role = caller_of(request), needed(request.method, request.scope["route"].path_format)
    if not allows(caller.role, role):
        raise ProblemError(
            403,
            f"this needs a token of the role {role}; {caller.name!r} has the role {caller.role}",
            kind="forbidden",
        )
