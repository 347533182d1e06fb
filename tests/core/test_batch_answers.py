"""A batch call that succeeds may have refused entries: every such call goes through one reader of its answer."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel

from chalicelib.core.batch_answers import REFUSED_IN, Refusal, refusals, unprocessed
from tests.support.house import ROOT

SERVICES = ("s3", "sqs", "events", "dynamodb", "secretsmanager", "logs", "cloudwatch", "lambda", "sns")
# The members of an answer that say that a part of the call failed.
TELLING = {"Errors", "Failed", "FailedEntries", "FailedEntryCount", "UnprocessedKeys", "UnprocessedItems"}
# Where batch calls are made: the product's, the tables', and those of a command of its own. Each answer is read by
# `core/batch_answers.py`.
MADE_IN = {
    "chalicelib/aws/batches.py",
    "chalicelib/store/base.py",
    "chalicelib/store/together.py",
    "infra/redrive.py",
}
# pynamodb's own: it asks again without end for what was left out.
OF_PYNAMODB = {"batch_get", "batch_write"}


def batch_operations() -> set[str]:
    found = set()
    for service in SERVICES:
        model = ServiceModel(Loader().load_service_model(service, "service-2"))
        for name in model.operation_names:
            output = model.operation_model(name).output_shape
            if output is not None and TELLING & set(output.members):
                found.add(name)
    # Each of its answers stands among the others, without a list of failures.
    return found | {"BatchExecuteStatement", "PutEvents"}


def calls_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute):
            yield node.attr


def product() -> Iterator[Path]:
    yield ROOT / "app.py"
    for folder in ("chalicelib", "infra"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def test_the_services_have_the_batch_calls_that_the_table_reads() -> None:
    assert set(REFUSED_IN) <= batch_operations()


def test_every_batch_call_is_made_where_its_answer_is_read() -> None:
    batch_calls = {xform_name(name) for name in batch_operations()} | OF_PYNAMODB
    made = {(str(path.relative_to(ROOT)), name) for path in product() for name in calls_of(path) if name in batch_calls}
    assert {where for where, _ in made} == MADE_IN
    assert {name for _, name in made} <= {xform_name(name) for name in REFUSED_IN}
    for where in MADE_IN:
        assert re.search(r"\b(refusals|unprocessed)\(", (ROOT / where).read_text("utf-8")), where


@pytest.mark.parametrize(
    ("operation", "answer", "refused"),
    [
        ("DeleteObjects", {"Deleted": [{"Key": "a"}]}, []),
        (
            "DeleteObjects",
            {"Errors": [{"Key": "a/b", "Code": "SlowDown", "Message": "Reduce your rate."}]},
            [Refusal("a/b", "SlowDown", "Reduce your rate.")],
        ),
        (
            "SendMessageBatch",
            {"Successful": [], "Failed": [{"Id": "3", "Code": "InvalidMessageContents", "SenderFault": True}]},
            [Refusal("3", "InvalidMessageContents", permanent=True)],
        ),
        (
            "PutTargets",
            {"FailedEntryCount": 1, "FailedEntries": [{"TargetId": "t", "ErrorCode": "ConcurrentModification"}]},
            [Refusal("t", "ConcurrentModification")],
        ),
    ],
)
def test_what_a_service_refused_is_read(operation: str, answer: dict[str, object], refused: list[Refusal]) -> None:
    assert refusals(operation, answer) == refused


def test_what_dynamodb_did_not_come_to_is_read() -> None:
    assert unprocessed("BatchGetItem", {"UnprocessedKeys": {"t": {"Keys": [{"k": {"S": "1"}}]}}}, "t") == [
        {"k": {"S": "1"}}
    ]
    assert unprocessed("BatchWriteItem", {"UnprocessedItems": {"t": [{"PutRequest": {}}]}}, "t") == [{"PutRequest": {}}]
    assert unprocessed("BatchGetItem", {"UnprocessedKeys": {}}, "t") == []


def test_a_call_that_is_no_batch_is_not_read_as_one() -> None:
    with pytest.raises(KeyError):
        refusals("PutObject", {})
