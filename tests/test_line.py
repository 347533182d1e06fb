"""The line of waiting jobs: strictly by rank, over what is ready and what has just come due, whoever's token comes."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from chalicelib.core.lifecycle import Trigger
from chalicelib.core.lines import minute_line
from tests.crowded import a_task, crowd, crowded, drain, out_of_order


def test_a_thousand_jobs_are_claimed_by_eight_workers_in_the_order_of_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of them stand in the pool's line; half come due in the same second, so that their minute's line has them."""
    with crowded(monkeypatch) as aws:
        now, draw = aws.now, random.Random(5)
        slot = now.replace(second=30)
        made = crowd(a_task(now), 500, draw, now=now, trigger=Trigger.MANUAL, scheduled_for=now)
        made += crowd(a_task(now), 500, draw, now=now, trigger=Trigger.SCHEDULE, scheduled_for=slot)
        assert {job.ready_pool for job in made} == {"cloud", minute_line("cloud", slot)}
        draw.shuffle(made)
        claims = drain(made, now=slot + timedelta(seconds=1))
        assert sorted(each.job.job_id for each in claims) == sorted(job.job_id for job in made)
        assert out_of_order(claims) == []
