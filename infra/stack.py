"""Deploys a packaged stage to an account or an emulator: artifacts bucket, upload, change set, wait.

The stack carries the digest of what it was deployed from as a tag, so an unchanged package is not deployed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError, WaiterError

DIGEST_TAG = "carillon:digest"
CAPABILITIES = ["CAPABILITY_IAM"]

# A stack that failed on creation cannot be updated, only removed.
DEAD = frozenset(["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"])


class DeployProblem(Exception):
    """The stack did not come up."""


@dataclass(frozen=True)
class Package:
    """What `infra.package` left in build/<stage>/."""

    folder: Path
    stage: str
    archives: list[str]
    gateway_responses: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Package:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return cls(folder, manifest["stage"], manifest["archives"], manifest["gateway_responses"])

    @property
    def template(self) -> Path:
        return self.folder / "template.json"

    def parameters(self) -> dict[str, str | None]:
        """The template's parameters with their defaults."""
        known = json.loads(self.template.read_text(encoding="utf-8"))["Parameters"]
        return {name: None if "Default" not in each else str(each["Default"]) for name, each in known.items()}

    def digest(self, parameters: Mapping[str, str]) -> str:
        """Changes when the template, the code (whose digest is in the template) or a parameter does."""
        text = self.template.read_bytes() + json.dumps(self.parameters() | dict(parameters), sort_keys=True).encode()
        return hashlib.sha256(text).hexdigest()[:32]


def deploy(
    package: Package,
    name: str,
    parameters: Mapping[str, str],
    session: boto3.Session,
    say: Callable[[str], None] = print,
) -> dict[str, str]:
    """Create or update a stack from a package; answers its outputs."""
    cloudformation = session.client("cloudformation")
    found = describe(cloudformation, name)
    digest = package.digest(parameters)
    if found and found["StackStatus"].endswith("_COMPLETE") and found["StackStatus"] not in DEAD:
        if {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}.get(DIGEST_TAG) == digest:
            say(f"Stack {name} is up to date.")
            return outputs(found)
    elif found and found["StackStatus"] in DEAD:
        raise DeployProblem(f"stack {name} is {found['StackStatus']}: delete it, then deploy again")
    bucket = artifacts_bucket(session)
    upload(session, bucket, package)
    kind = "UPDATE" if found else "CREATE"
    say(f"{'Updating' if found else 'Creating'} stack {name} …")
    key = template_key(package)
    url = session.client("s3").generate_presigned_url("get_object", {"Bucket": bucket, "Key": key})
    wanted = {"ArtifactsBucket": bucket, **parameters}
    change = cloudformation.create_change_set(
        StackName=name,
        ChangeSetName=f"carillon-{digest}",
        ChangeSetType=kind,
        TemplateURL=url.partition("?")[0],
        Parameters=[{"ParameterKey": each, "ParameterValue": value} for each, value in sorted(wanted.items())],
        Capabilities=CAPABILITIES,
        Tags=[{"Key": DIGEST_TAG, "Value": digest}],
    )["Id"]
    execute(cloudformation, name, change, kind)
    found = describe(cloudformation, name)
    if found is None:
        raise DeployProblem(f"stack {name} vanished while it was deployed")
    return outputs(found)


def execute(cloudformation: Any, name: str, change: str, kind: str) -> None:
    """Run a change set and wait for the stack to be whole."""
    try:
        cloudformation.get_waiter("change_set_create_complete").wait(
            ChangeSetName=change, WaiterConfig={"Delay": 1, "MaxAttempts": 300}
        )
    except WaiterError as error:
        reason = cloudformation.describe_change_set(ChangeSetName=change).get("StatusReason", str(error))
        raise DeployProblem(f"the change set of {name} was refused: {reason}") from error
    cloudformation.execute_change_set(ChangeSetName=change)
    waiter = cloudformation.get_waiter(f"stack_{kind.lower()}_complete")
    try:
        waiter.wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 1800})
    except WaiterError as error:
        raise DeployProblem(f"stack {name} did not come up:\n{failures(cloudformation, name)}") from error


def failures(cloudformation: Any, name: str) -> str:
    """What the events of a stack say went wrong, oldest first."""
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    failed = [event for event in reversed(events) if event["ResourceStatus"].endswith("_FAILED")]
    return "\n".join(f"  {event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}" for event in failed)


def describe(cloudformation: Any, name: str) -> dict[str, Any] | None:
    """The stack, or None when there is none, also when it exists only as a change set under review."""
    try:
        found: dict[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise
    return None if found["StackStatus"] in ("REVIEW_IN_PROGRESS", "DELETE_COMPLETE") else found


def outputs(found: Mapping[str, Any]) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


def artifacts_bucket(session: boto3.Session) -> str:
    """The account's bucket for packaged code, made private when absent. One serves all stages of a region."""
    account = session.client("sts").get_caller_identity()["Account"]
    s3, region = session.client("s3"), session.region_name
    bucket = f"carillon-artifacts-{account}-{region}"
    try:
        s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise DeployProblem(f"bucket {bucket} is not this account's: {error}") from error
        # The oldest region is the only one that must not be named.
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=bucket, **place)
        block = dict.fromkeys(
            ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"], True
        )
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=block)
    return bucket


def template_key(package: Package) -> str:
    return f"{hashlib.sha256(package.template.read_bytes()).hexdigest()}.json"


def upload(session: boto3.Session, bucket: str, package: Package) -> None:
    """Put the archives and the template where CloudFormation reads them. Names are digests: nothing is sent twice."""
    s3 = session.client("s3")
    for path, key in [(package.folder / name, name) for name in package.archives] + [
        (package.template, template_key(package))
    ]:
        try:
            s3.head_object(Bucket=bucket, Key=key)
        except ClientError:
            s3.upload_file(str(path), bucket, key)
