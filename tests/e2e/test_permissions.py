"""The whole API once, on a stack that enforces the roles of the functions: what `api` may not do shows as a 500."""

from __future__ import annotations

import pytest

from chalicelib.api.roles import ROLES
from tests.e2e.local_stack import LocalStack, wait_until_ended
from tests.support.tour import Tour, take


@pytest.fixture(scope="module")
def tour(stack: LocalStack) -> Tour:
    call = stack.as_("admin")
    return take(call, lambda job_id: wait_until_ended(call, job_id))


def test_no_call_lacks_a_permission(tour: Tour) -> None:
    assert not tour.refused, "\n".join(tour.refused)


def test_the_tour_misses_no_route(tour: Tour) -> None:
    assert set(ROLES) - tour.taken == set()
