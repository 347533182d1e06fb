"""Deploys a packaged stage to an account or an emulator: artifacts bucket, upload, a change set for each step, wait.

What the stack has is compared with the package: template, parameters, and the indexes of its tables. Nothing else
remembers what was deployed, so a deploy may break off anywhere and be given again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from infra import change_sets, upgrade
from infra.change_sets import DeployProblem, describe

# The tag in which earlier versions kept a digest: a tag of a stack is a tag of all it has, so each deploy touched all.
OLD_TAG = "carillon:digest"

# A stack that failed on creation cannot be updated, only removed.
DEAD = frozenset(["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"])

PROTECTION = "DeletionProtection"


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
        known = self.read_template()["Parameters"]
        return {name: None if "Default" not in each else str(each["Default"]) for name, each in known.items()}

    def read_template(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.template.read_text(encoding="utf-8"))
        return found


def deploy(
    package: Package,
    name: str,
    parameters: Mapping[str, str],
    session: boto3.Session,
    say: Callable[[str], None] = print,
    *,
    files_bucket: str | None = None,
) -> dict[str, str]:
    """Create or update a stack from a package; answers its outputs.

    `files_bucket` names the bucket of a new stack, which may be one that a deleted stack has left.
    """
    cloudformation, dynamodb = session.client("cloudformation"), session.client("dynamodb")
    found = describe(cloudformation, name)
    if found and found["StackStatus"].endswith("_IN_PROGRESS"):
        say(f"Stack {name} is {found['StackStatus']}; waiting for that to end …")
        change_sets.settle(cloudformation, name, say)
        found = describe(cloudformation, name)
    if found and found["StackStatus"] in DEAD:
        raise DeployProblem(f"stack {name} is {found['StackStatus']}: delete it, then deploy again")
    if found and found["StackStatus"] == "UPDATE_ROLLBACK_FAILED":
        raise DeployProblem(f"stack {name} is stuck: aws cloudformation continue-update-rollback --stack-name {name}")
    before = None if found is None else cloudformation.get_template(StackName=name, TemplateStage="Original")
    old = None if before is None else as_object(before["TemplateBody"])
    after = with_bucket(package.read_template(), old, files_bucket)
    live = tables_now(dynamodb, after, say)
    bucket = artifacts_bucket(session)
    wanted = {key: value for key, value in package.parameters().items() if value is not None}
    wanted |= {"ArtifactsBucket": bucket, **parameters}
    tags = [tag for tag in (found or {}).get("Tags", []) if tag["Key"] != OLD_TAG]
    same = old == after and wanted == parameters_of(found) and not upgrade.differs(after, live)
    if found and same and len(tags) == len(found.get("Tags", [])):
        say(f"Stack {name} is up to date.")
        return outputs(found)
    upload(session, bucket, package)
    say(f"{'Updating' if found else 'Creating'} stack {name} …")
    steps = upgrade.plan(old, after, live)
    if old is None and wanted.get(PROTECTION) == "on":
        # A creation that fails removes what it made, which protected tables would not allow.
        steps.append(upgrade.Step("protect the tables", after))
    for number, step in enumerate(steps):
        if len(steps) > 1:
            say(f"  {number + 1} of {len(steps)}: {step.what}")
        create = old is None and number == 0
        given = wanted | {PROTECTION: "off"} if create and PROTECTION in wanted else wanted
        change_sets.run(
            cloudformation,
            name,
            create=create,
            template_url=put_template(session, bucket, step.template),
            parameters=previous(found) if step.before else values(given),
            tags=tags,
            say=say,
        )
        tables_now(dynamodb, after, say)
    found = describe(cloudformation, name)
    if found is None:
        raise DeployProblem(f"stack {name} vanished while it was deployed")
    return outputs(found)


def values(parameters: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"ParameterKey": each, "ParameterValue": value} for each, value in sorted(parameters.items())]


def previous(found: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    return [{"ParameterKey": each, "UsePreviousValue": True} for each in sorted(parameters_of(found))]


def parameters_of(found: Mapping[str, Any] | None) -> dict[str, str]:
    """The parameters that a stack has."""
    return {each["ParameterKey"]: each["ParameterValue"] for each in (found or {}).get("Parameters", [])}


def as_object(template: Any) -> dict[str, Any]:
    """A template's body, which boto3 gives as an object when it is JSON."""
    found = json.loads(template if isinstance(template, str) else json.dumps(template))
    return dict(found)


def with_bucket(after: dict[str, Any], before: dict[str, Any] | None, files_bucket: str | None) -> dict[str, Any]:
    """The template with the name of its bucket of files. A stack keeps the one it has: a new name is a new bucket."""
    bucket = after["Resources"]["FilesBucket"]["Properties"]
    if before is not None:
        had = before["Resources"]["FilesBucket"]["Properties"].get("BucketName")
        if files_bucket not in (None, had):
            raise DeployProblem(
                f"the stack keeps its files in {had or 'the bucket that it made'}; another is for a new stack"
            )
        files_bucket = had
    if files_bucket is not None:
        bucket["BucketName"] = files_bucket
    return after


def tables_now(dynamodb: Any, template: Mapping[str, Any], say: Callable[[str], None]) -> dict[str, upgrade.Table]:
    """The tables of a stack that exist, by logical id, when they are at rest."""
    names = {logical: found["TableName"] for logical, found in upgrade.tables(template).items()}
    described = change_sets.wait_for_tables(dynamodb, names.values(), say)
    return {logical: upgrade.Table.described(described[name]) for logical, name in names.items() if name in described}


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


def put_template(session: boto3.Session, bucket: str, template: Mapping[str, Any]) -> str:
    """Put a template where CloudFormation reads it; answers its address."""
    text = json.dumps(template, indent=1).encode()
    key = f"{hashlib.sha256(text).hexdigest()}.json"
    s3 = session.client("s3")
    s3.put_object(Bucket=bucket, Key=key, Body=text)
    url: str = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": key})
    return url.partition("?")[0]


def upload(session: boto3.Session, bucket: str, package: Package) -> None:
    """Put the archives where CloudFormation finds them. Names are digests: nothing is sent twice."""
    s3 = session.client("s3")
    for name in package.archives:
        try:
            s3.head_object(Bucket=bucket, Key=name)
        except ClientError:
            s3.upload_file(str(package.folder / name), bucket, name)
