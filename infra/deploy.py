"""`make deploy STAGE=prod`: bring the packaged stage up in the account that the AWS configuration names.

Parameters of the template are given as `--set AlarmEmail=ops@example.com`, also through DEPLOY="--set …" of make; those
not given keep the value that the stack has, or their default.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra import package, stack, template

# The packaging fills these in.
OWN = frozenset(["Stage", "ArtifactsBucket"])

# Made by SAM with each deployment until the template said `OpenApiVersion`.
SECOND_STAGE = "Stage"

# One each of api, authorize, tick, sweep and fire: the least that a stage runs beside its workers.
OTHERS = 5


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make deploy", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--stage", required=True)
    parser.add_argument("--set", dest="parameters", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--files-bucket", metavar="NAME", help="of a new stack: the bucket that a deleted one left")
    given = parser.parse_args()
    parameters = dict(pair.split("=", 1) for pair in given.parameters if "=" in pair)
    if len(parameters) != len(given.parameters) or parameters.keys() & OWN:
        parser.error("--set takes NAME=VALUE, with a name of the template's Parameters")
    folder = package.ROOT / "build" / given.stage
    try:
        outputs = deploy(folder, f"{template.STACK}-{given.stage}", parameters, boto3.Session(), given.files_bucket)
    except FileNotFoundError:
        print(f"error: stage {given.stage} is not packaged; run make package STAGE={given.stage}", file=sys.stderr)
        return 1
    except (stack.DeployProblem, BotoCoreError, ClientError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, value in sorted(outputs.items()):
        print(f"  {name:<20} {value}")
    print(f"\nThe API is at {outputs['ApiUrl']}; its first admin token comes from")
    print(f"  {os.path.relpath(sys.executable)} -m infra.first_token --stage {given.stage}")
    return 0


def deploy(
    folder: Path, name: str, parameters: dict[str, str], session: boto3.Session, files_bucket: str | None = None
) -> dict[str, str]:
    """Deploy a packaged folder, keeping the parameters that an earlier deploy set."""
    if session.region_name is None:
        raise stack.DeployProblem("say which region: AWS_DEFAULT_REGION is not set")
    made = stack.Package.read(folder)
    found = stack.describe(session.client("cloudformation"), name)
    kept = stack.parameters_of(found)
    known = made.parameters()
    if unknown := parameters.keys() - (known.keys() - OWN):
        raise stack.DeployProblem(f"the template has no parameter {', '.join(sorted(unknown))}")
    kept = {key: kept[key] for key in kept.keys() & known.keys() - OWN}
    wanted = on_aws(session) | kept | parameters
    check_quota(session, int(wanted.get("WorkConcurrency") or known["WorkConcurrency"] or 0))
    if found is None and files_bucket is None:
        account = session.client("sts").get_caller_identity()["Account"]
        files_bucket = f"{name}-files-{account}-{session.region_name}"
    if found is not None:
        remove_second_stage(session, stack.outputs(found).get("ApiId"))
    return stack.deploy(made, name, wanted, session, files_bucket=files_bucket)


def remove_second_stage(session: boto3.Session, api_id: str | None) -> None:
    """Remove the public stage that earlier versions had beside `api`: no template knows it, so no update removes it."""
    gateway = session.client("apigateway")
    stages = gateway.get_stages(restApiId=api_id)["item"] if api_id else []
    if any(each["stageName"] == SECOND_STAGE for each in stages):
        gateway.delete_stage(restApiId=api_id, stageName=SECOND_STAGE)


def on_aws(session: boto3.Session) -> dict[str, str]:
    """The parameters whose default suits the emulator, as AWS wants them."""
    role = session.client("apigateway").get_account().get("cloudwatchRoleArn")
    return {"DeletionProtection": "on", "AccessLogs": "on", "GatewayLogRole": "account" if role else "stack"}


def check_quota(session: boto3.Session, workers: int) -> None:
    """Compare with the account's quota: workers that take all of it would leave the API and the timers none."""
    limits = session.client("lambda").get_account_settings()["AccountLimit"]
    free = int(limits.get("UnreservedConcurrentExecutions", limits["ConcurrentExecutions"]))
    if workers + OTHERS > free:
        raise stack.DeployProblem(
            f"WorkConcurrency is {workers}, the other functions need {OTHERS}, and the account may run {free} at once: "
            f"--set WorkConcurrency={max(2, free - OTHERS)}, or ask AWS for more (Lambda, concurrent executions)"
        )


if __name__ == "__main__":
    sys.exit(main())
