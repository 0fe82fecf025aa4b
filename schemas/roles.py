"""What a caller of the HTTP API may do: the words that both sides and the coordinator's rules use."""

from enum import StrEnum


class Role(StrEnum):
    """What a token is good for. Each includes those above it, but `agent`, which stands aside."""

    AGENT = "agent"
    VIEWER = "viewer"
    SUBMITTER = "submitter"
    OPERATOR = "operator"
    ADMIN = "admin"
