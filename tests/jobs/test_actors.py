"""Who acts on jobs: an actor may have any name, and what goes on after the request is done in the caller's name."""

from __future__ import annotations

import pytest

from chalicelib.access.actor import Actor, Role
from chalicelib.core.lifecycle import JobStatus, Reason, cancel_reason
from chalicelib.jobs import actions, batches
from chalicelib.jobs.actions import Action
from chalicelib.jobs.batches import BatchRequest
from chalicelib.kinds.protocol import Outcome, RunContext
from chalicelib.store import jobs as job_store
from chalicelib.store.audit import AuditRecord
from tests.support.batches import step
from tests.support.probe import started
from tests.support.simulator import OPERATOR, PROBE, Stage

NAMED_AS_A_POLICY = Actor(Reason.BY_POLICY.value, Role.OPERATOR, subject="a-1")
CI = Actor("token:ci", Role.OPERATOR, token_id="01A")


def test_an_actor_who_is_named_as_a_policy_is_a_person(stage: Stage) -> None:
    def obeys(context: RunContext) -> Outcome:
        actions.cancel(context.facts.job_id, actor=NAMED_AS_A_POLICY, now=stage.now)
        context.check_for_stop()  # type: ignore[attr-defined]
        context.check()
        raise AssertionError("went on")

    PROBE.behaviour = obeys
    job = started(stage)
    stage.deliver()
    done = job_store.get(job.job_id)
    assert (done.status, done.reason) == (JobStatus.CANCELED, Reason.BY_USER)
    assert done.cancel_requested_by == "by_policy"


def test_a_worker_that_is_gone_does_not_make_it_a_policy(stage: Stage) -> None:
    def dies(context: RunContext) -> Outcome:
        actions.cancel(context.facts.job_id, actor=NAMED_AS_A_POLICY, now=stage.now)
        raise SystemExit

    PROBE.behaviour = dies
    job = started(stage)
    with pytest.raises(SystemExit):
        stage.deliver()
    stage.minutes(20)
    done = job_store.get(job.job_id)
    assert (done.status, done.reason) == (JobStatus.CANCELED, Reason.BY_USER)


def test_an_older_record_says_it_by_the_name_alone() -> None:
    assert cancel_reason("by_policy", None) is Reason.BY_POLICY
    assert cancel_reason("olga", None) is Reason.BY_USER


@pytest.mark.parametrize("action", [Action.CANCEL, Action.DELETE])
def test_what_a_batch_does_is_done_by_the_token_that_asked(stage: Stage, action: Action) -> None:
    job = started(stage)
    if action is Action.DELETE:
        actions.cancel(job.job_id, actor=OPERATOR, now=stage.now)
        stage.world.forward(seconds=1)
    batch = batches.accept(BatchRequest(action, job_ids=[job.job_id]), actor=CI, now=stage.now)
    stage.collect()
    step(stage, batch)
    found = [entry for entry in AuditRecord.scan() if entry.action == action and entry.record_id == job.job_id]
    assert [entry.token_id for entry in found if entry.actor == CI.name] == [CI.token_id]
