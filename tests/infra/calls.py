"""What a piece of the product asks of AWS, in the words of IAM, and whether a function's policy allows it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chalicelib.aws.clients import client
from chalicelib.settings import settings
from chalicelib.store.base import client as dynamodb
from infra.package import ROOT

# S3's operations that go by the permission of another name; all others go by their own.
S3_ACTIONS = {
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "HeadObject": "GetObject",
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListParts": "ListMultipartUploadParts",
    "DeleteObjects": "DeleteObject",
}

# An action, and the resource as a policy here writes it.
Need = tuple[str, str]


def needs(service: str, operation: str, params: dict[str, Any]) -> set[Need]:
    """The permissions that a call takes."""
    if service == "dynamodb":
        tables = list(params.get("RequestItems", [])) or [params["TableName"]]
        index = f"/index/{params['IndexName']}" if "IndexName" in params else ""
        return {(f"dynamodb:{operation}", f"{table_id(table)}{index}") for table in tables}
    if service == "sqs":
        return {(f"sqs:{operation.removesuffix('Batch')}", "WorkQueue")}
    if service == "s3":
        action = S3_ACTIONS.get(operation, operation)
        keys = [each["Key"] for each in params.get("Delete", {}).get("Objects", [])]
        keys += [params["Key"]] if "Key" in params else []
        below = {f"FilesBucket/{key.partition('/')[0]}/*" for key in keys}
        return {(f"s3:{action}", resource) for resource in below or {"FilesBucket"}}
    if service == "events":
        return {(f"events:{operation}", "rule/*")}
    assert service == "secretsmanager", f"{service} is in no policy"
    return {(f"secretsmanager:{operation}", "secret/*")}


def table_id(name: str) -> str:
    return f"{name.removeprefix(settings().tables + '-').capitalize()}Table"


def allowed(function: str) -> set[Need]:
    """What a policy file grants, in the same words."""
    policy = json.loads((ROOT / ".chalice" / f"policy-{function}.json").read_text(encoding="utf-8"))
    return {
        (action, _name(resource))
        for statement in policy["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


def _name(resource: dict[str, Any]) -> str:
    if "Fn::GetAtt" in resource:
        return str(resource["Fn::GetAtt"][0])
    text = str(resource["Fn::Sub"])
    if ":secretsmanager:" in text:
        return "secret/*"
    if ":events:" in text:
        return "rule/*"
    return re.sub(r"\$\{(\w+)\.Arn\}", r"\1", text)


@contextmanager
def noting(found: set[Need]) -> Iterator[None]:
    """Note what is asked of AWS meanwhile."""

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        found.update(needs(model.service_model.service_name, model.name, params))

    clients = [dynamodb(), *(client(service) for service in ("sqs", "s3", "secretsmanager", "events"))]
    for each in clients:
        # Last: before this, boto3 and the tests still change what is sent.
        each.meta.events.register_last("before-parameter-build", note, unique_id="tests-needs")
    try:
        yield
    finally:
        for each in clients:
            each.meta.events.unregister("before-parameter-build", unique_id="tests-needs")
