"""Change sets of CloudFormation: make one, run it, and say how it goes until the stack and its tables are at rest."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

CAPABILITIES = ["CAPABILITY_IAM"]
POLL_SECONDS = 1.0
# How often progress is told.
TELL_SECONDS = 10.0
# The index of a large table fills for hours. What goes on goes on without us: the next deploy takes it up.
PATIENCE_SECONDS = 6 * 3600.0
NOTHING_TO_DO = ("didn't contain changes", "No updates are to be performed")

Say = Callable[[str], None]


class DeployProblem(Exception):
    """The stack did not come up."""


def describe(cloudformation: Any, name: str) -> dict[str, Any] | None:
    """The stack, or None when there is none, also when it exists only as a change set under review."""
    try:
        found: dict[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise
    return None if found["StackStatus"] in ("REVIEW_IN_PROGRESS", "DELETE_COMPLETE") else found


def run(
    cloudformation: Any,
    name: str,
    *,
    create: bool,
    template_url: str,
    parameters: Sequence[Mapping[str, Any]],
    tags: Sequence[Mapping[str, str]],
    say: Say,
) -> None:
    """Make and execute one change set, and wait for the stack to be whole. One that changes nothing is no error.

    Each has a name that none had before: AWS refuses the name of a change set that failed.
    """
    change = cloudformation.create_change_set(
        StackName=name,
        ChangeSetName=f"carillon-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:8]}",
        ChangeSetType="CREATE" if create else "UPDATE",
        TemplateURL=template_url,
        Parameters=list(parameters),
        Capabilities=CAPABILITIES,
        Tags=list(tags),
        # Tables that a deleted stack of this name has left become the new stack's.
        **({"ImportExistingResources": True} if create else {}),
    )["Id"]
    made = _made(cloudformation, name, change)
    if made["Status"] == "FAILED":
        reason = made.get("StatusReason", "no reason given")
        cloudformation.delete_change_set(ChangeSetName=change)
        if any(text in reason for text in NOTHING_TO_DO):
            return
        raise DeployProblem(f"the change set of {name} was refused: {reason}")
    cloudformation.execute_change_set(ChangeSetName=change)
    settle(cloudformation, name, say, changes=len(made.get("Changes", [])))
    found = describe(cloudformation, name)
    status = "gone" if found is None else found["StackStatus"]
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise DeployProblem(f"stack {name} did not come up, it is {status}:\n{failures(cloudformation, name)}")


def _made(cloudformation: Any, name: str, change: str) -> dict[str, Any]:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        made: dict[str, Any] = cloudformation.describe_change_set(ChangeSetName=change)
        if made["Status"] in ("CREATE_COMPLETE", "FAILED"):
            return made
        time.sleep(POLL_SECONDS)
    raise DeployProblem(f"CloudFormation does not finish the change set of {name}; run make deploy again")


def settle(cloudformation: Any, name: str, say: Say, *, changes: int = 0) -> None:
    """Wait while CloudFormation works on the stack, and say how far it is."""
    begun = told = time.monotonic()
    while time.monotonic() < begun + PATIENCE_SECONDS:
        found = describe(cloudformation, name)
        status = "" if found is None else found["StackStatus"]
        if not status.endswith("_IN_PROGRESS"):
            return
        if time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            newest = cloudformation.describe_stack_events(StackName=name)["StackEvents"][:1]
            at_work = "".join(f", {event['LogicalResourceId']} {event['ResourceStatus']}" for event in newest)
            of = f" of {changes} changes" if changes else ""
            say(f"    {status}{of} after {told - begun:.0f} s{at_work}")
        time.sleep(POLL_SECONDS)
    raise DeployProblem(f"stack {name} is still at work; run make deploy again, which goes on from here")


def wait_for_tables(dynamodb: Any, names: Iterable[str], say: Say) -> dict[str, dict[str, Any]]:
    """The descriptions of those of the tables that exist, when no index of theirs is made or removed any more."""
    begun = told = time.monotonic()
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        while (table := _table(dynamodb, name)) is not None and (busy := _busy(table)):
            if time.monotonic() - begun > PATIENCE_SECONDS:
                raise DeployProblem(f"{name} is still at work ({busy}); run make deploy again, which goes on from here")
            if time.monotonic() - told >= TELL_SECONDS:
                told = time.monotonic()
                say(f"    {name}: {busy}, {table.get('ItemCount', 0)} records, {told - begun:.0f} s")
            time.sleep(POLL_SECONDS)
        if table is not None:
            found[name] = table
    return found


def _table(dynamodb: Any, name: str) -> dict[str, Any] | None:
    try:
        table: dict[str, Any] = dynamodb.describe_table(TableName=name)["Table"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return None
        raise
    return table


def _busy(table: Mapping[str, Any]) -> str:
    """What a table is about; empty when it is at rest."""
    doing = [] if table["TableStatus"] == "ACTIVE" else [f"table {table['TableStatus']}"]
    for index in table.get("GlobalSecondaryIndexes", []):
        if index.get("IndexStatus", "ACTIVE") != "ACTIVE":
            doing.append(f"index {index['IndexName']} {index['IndexStatus']}")
    return ", ".join(doing)


def failures(cloudformation: Any, name: str) -> str:
    """What the events of a stack say went wrong, oldest first."""
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    failed = [event for event in reversed(events) if event["ResourceStatus"].endswith("_FAILED")]
    return "\n".join(f"  {event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}" for event in failed)
