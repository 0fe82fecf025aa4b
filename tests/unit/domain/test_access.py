"""Roles and tokens: who is let in, and for what."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.access import GRANTS, Auth, Caller, Token, admit, allows, digest_of, is_open, prefix_of
from coordinator.domain.outcome import Refused
from coordinator.operations.access import Minted
from schemas.roles import Role

NOW = datetime(2026, 3, 1, tzinfo=UTC)
times = st.none() | st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def test_each_role_includes_those_before_it_and_agents_stand_aside() -> None:
    ladder = [Role.VIEWER, Role.SUBMITTER, Role.OPERATOR, Role.ADMIN]
    for (at, role), (place, needed) in itertools.product(enumerate(ladder), enumerate(ladder)):
        assert allows(role, needed) is (place <= at)
    assert {role for role in Role if allows(role, Role.AGENT)} == {Role.AGENT, Role.ADMIN}
    assert {needed for needed in Role if allows(Role.AGENT, needed)} == {Role.AGENT}
    assert set(GRANTS) == set(Role)


@given(role=st.sampled_from(Role), expires_at=times, revoked_at=times, now=times.filter(bool))
def test_a_bearer_is_let_in_exactly_while_the_token_lives(
    role: Role, expires_at: datetime | None, revoked_at: datetime | None, now: datetime
) -> None:
    made, other = Minted.fresh(), Minted.fresh()
    token = Token("ci", role, made.prefix, made.digest, expires_at, revoked_at)
    lives = revoked_at is None and (expires_at is None or now < expires_at)
    assert (
        admit(token, made.token, now) == Caller("ci", role)
        if lives
        else isinstance(admit(token, made.token, now), Refused)
    )
    for wrong in (other.token, made.token[:-1], made.token + "0", made.prefix, ""):
        assert isinstance(admit(token, wrong, now), Refused)
    assert isinstance(admit(None, made.token, now), Refused)


def test_what_is_kept_of_a_token_is_not_the_token() -> None:
    made = Minted.fresh()
    assert prefix_of(made.token) == made.prefix
    assert len(made.token) - len(made.prefix) - 1 == 64
    assert made.digest == digest_of(made.token)
    assert len({Minted.fresh().token for _ in range(50)}) == 50


@given(st.text())
def test_what_is_no_token_is_looked_up_nowhere(text: str) -> None:
    assert prefix_of(text) is None


@pytest.mark.parametrize("bootstrap", [False, True])
@pytest.mark.parametrize("exposed", [False, True])
@pytest.mark.parametrize("any_token", [False, True])
def test_by_itself_a_farm_is_open_only_here_and_before_its_first_token(
    *, bootstrap: bool, exposed: bool, any_token: bool
) -> None:
    for auth in Auth:
        answer = is_open(auth, bootstrap=bootstrap, exposed=exposed, any_token=any_token)
        assert answer is {
            Auth.OPEN: True, Auth.TOKENS: False, Auth.AUTO: not (bootstrap or exposed or any_token),
        }[auth]  # fmt: skip


def test_expiry_is_an_instant_at_which_it_is_over() -> None:
    made = Minted.fresh()
    token = Token("ci", Role.VIEWER, made.prefix, made.digest, NOW)
    assert isinstance(admit(token, made.token, NOW), Refused)
    assert admit(token, made.token, NOW - timedelta(microseconds=1)) == Caller("ci", Role.VIEWER)
