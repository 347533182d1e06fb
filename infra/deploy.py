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

from infra import package, stack

# The packaging fills these in.
OWN = frozenset(["Stage", "ArtifactsBucket"])


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make deploy", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--stage", required=True)
    parser.add_argument("--set", dest="parameters", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    parameters = dict(pair.split("=", 1) for pair in given.parameters if "=" in pair)
    if len(parameters) != len(given.parameters) or parameters.keys() & OWN:
        parser.error("--set takes NAME=VALUE, with a name of the template's Parameters")
    folder = package.ROOT / "build" / given.stage
    try:
        outputs = deploy(folder, f"carillon-{given.stage}", parameters, boto3.Session())
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


def deploy(folder: Path, name: str, parameters: dict[str, str], session: boto3.Session) -> dict[str, str]:
    """Deploy a packaged folder, keeping the parameters that an earlier deploy set."""
    if session.region_name is None:
        raise stack.DeployProblem("say which region: AWS_DEFAULT_REGION is not set")
    made = stack.Package.read(folder)
    found = stack.describe(session.client("cloudformation"), name)
    kept = {each["ParameterKey"]: each["ParameterValue"] for each in (found or {}).get("Parameters", [])}
    known = made.parameters().keys() - OWN
    if unknown := parameters.keys() - known:
        raise stack.DeployProblem(f"the template has no parameter {', '.join(sorted(unknown))}")
    return stack.deploy(made, name, {key: kept[key] for key in kept.keys() & known} | parameters, session)


if __name__ == "__main__":
    sys.exit(main())
