"""`DEFINITION` is the one list of a task's fields: the API's models, the record and the job agree with it."""

from __future__ import annotations

import pytest

from chalicelib.api.models.tasks import TaskIn, TaskOut, TaskPatch
from chalicelib.store.job_record import JobRecord
from chalicelib.store.task_record import DEFINITION, GIVEN, IN_JOB, TaskRecord
from tests.support.simulator import Stage

# What an answer shows besides the definition.
SHOWN = {
    "task_id", "creator", "note", "revision", "created_at", "updated_at",
    "next_fire_at", "latest_job_id", "latest_status", "latest_at", "source_id", "source_name",
}  # fmt: skip


@pytest.mark.parametrize("model", [TaskIn, TaskPatch])
def test_a_request_names_the_fields_that_a_caller_gives(model: type[TaskIn] | type[TaskPatch]) -> None:
    assert set(model.model_fields) == set(GIVEN)


def test_an_answer_names_the_fields_that_a_caller_gives() -> None:
    assert set(TaskOut.model_fields) - SHOWN == set(GIVEN)


def test_the_record_has_a_column_for_each_field_and_the_job_for_those_it_gets() -> None:
    assert set(DEFINITION) <= set(TaskRecord.get_attributes())
    assert set(IN_JOB) <= set(JobRecord.get_attributes())


@pytest.mark.parametrize("name", GIVEN)
def test_a_request_and_the_definition_have_the_same_default(name: str) -> None:
    field = TaskIn.model_fields[name]
    assert (field.is_required() and DEFINITION[name].default is None) or (
        field.get_default(call_default_factory=True, validated_data={}) == DEFINITION[name].default
    )


@pytest.mark.parametrize("name", [name for name, field in DEFINITION.items() if field.default is not None])
def test_the_record_and_the_definition_have_the_same_default(name: str) -> None:
    """A record without the column is read with the record's default, where it has one."""
    default = TaskRecord.get_attributes()[name].default
    assert default is None or (default() if callable(default) else default) == DEFINITION[name].default


@pytest.mark.parametrize("name", IN_JOB)
def test_a_job_gets_the_fields_that_the_definition_names(stage: Stage, name: str) -> None:
    task = stage.task(priority=7, deadline_seconds=60, queue_wait_limit_seconds=50, statement_timeout_seconds=40)
    stage.tick()
    [job] = stage.jobs()
    assert getattr(job, name) == getattr(task, name)
