"""CloudFormation for the tables of a stack, as strict as AWS where the emulator and moto are not.

It makes and changes the tables of a template in the DynamoDB that it is given, and refuses what AWS documents that it
refuses: more than one index made or removed for a table in one update, columns declared that are no key, the name of a
change set that was used before. A table that is already there comes into a new stack only by ImportExistingResources.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

ONE_INDEX = "Cannot perform more than one GSI creation or deletion in a single update"


def refused(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "CloudFormation")


def tables_of(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        logical: each["Properties"]
        for logical, each in template["Resources"].items()
        if each["Type"] == "AWS::DynamoDB::Table"
    }


def name_of(table: dict[str, Any], stack: str) -> str:
    name = table["TableName"]
    return str(name if isinstance(name, str) else name["Fn::Sub"].replace("${AWS::StackName}", stack))


def indexes_of(table: dict[str, Any]) -> dict[str, Any]:
    return {index["IndexName"]: index for index in table.get("GlobalSecondaryIndexes", [])}


@dataclass
class StrictCloudFormation:
    """The client. `executed` notes what each change set did to the indexes."""

    dynamodb: Any
    s3: Any
    stack: dict[str, Any] | None = None
    template: dict[str, Any] | None = None
    change_sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    executed: list[list[str]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    # The process that deploys dies before this call.
    dies_at: str = ""

    def _alive(self, call: str) -> None:
        if call == self.dies_at:
            self.dies_at = ""
            raise KeyboardInterrupt

    # --- what the deployer calls ---

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        if self.stack is None:
            raise refused("ValidationError", f"Stack with id {StackName} does not exist")
        return {"Stacks": [copy.deepcopy(self.stack)]}

    def get_template(self, StackName: str, TemplateStage: str) -> dict[str, Any]:
        return {"TemplateBody": copy.deepcopy(self.template)}

    def describe_stack_events(self, StackName: str) -> dict[str, Any]:
        return {"StackEvents": self.events[::-1]}

    def create_change_set(self, StackName: str, ChangeSetName: str, **given: Any) -> dict[str, Any]:
        self._alive("create_change_set")
        if ChangeSetName in self.change_sets:
            raise refused("AlreadyExistsException", f"ChangeSet {ChangeSetName} already exists")
        bucket, _, key = given["TemplateURL"].partition("://")[2].partition("/")
        bucket = bucket.partition(".")[0]
        template = json.loads(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        had = {each["ParameterKey"]: each["ParameterValue"] for each in (self.stack or {}).get("Parameters", [])}
        parameters = {
            each["ParameterKey"]: had[each["ParameterKey"]] if each.get("UsePreviousValue") else each["ParameterValue"]
            for each in given["Parameters"]
        }
        made = {**given, "name": StackName, "template": template, "parameters": parameters, "Status": "CREATE_COMPLETE"}
        if template == self.template and parameters == had and given["Tags"] == (self.stack or {}).get("Tags"):
            made |= {"Status": "FAILED", "StatusReason": "The submitted information didn't contain changes."}
        self.change_sets[ChangeSetName] = made
        return {"Id": ChangeSetName}

    def describe_change_set(self, ChangeSetName: str) -> dict[str, Any]:
        return {name: self.change_sets[ChangeSetName].get(name, "") for name in ("Status", "StatusReason")}

    def delete_change_set(self, ChangeSetName: str) -> None:
        """Its name stays used."""

    def execute_change_set(self, ChangeSetName: str) -> None:
        self._alive("execute_change_set")
        made = self.change_sets[ChangeSetName]
        before = {} if self.template is None else tables_of(self.template)
        status = "UPDATE_COMPLETE" if self.stack else "CREATE_COMPLETE"
        done: list[str] = []
        try:
            for logical, table in tables_of(made["template"]).items():
                done += self._bring(made, logical, before.get(logical), table)
            self.template = made["template"]
        except ValueError as error:
            self.events.append(
                {"LogicalResourceId": logical, "ResourceStatus": "UPDATE_FAILED", "ResourceStatusReason": str(error)}
            )
            status = "UPDATE_ROLLBACK_COMPLETE" if self.stack else "ROLLBACK_COMPLETE"
        self.executed.append(done)
        parameters = [{"ParameterKey": each, "ParameterValue": value} for each, value in made["parameters"].items()]
        self.stack = {"StackStatus": status, "Parameters": parameters, "Tags": made["Tags"], "Outputs": []}
        self._alive("after execute_change_set")

    # --- what AWS does then ---

    def _bring(
        self, made: dict[str, Any], logical: str, was: dict[str, Any] | None, table: dict[str, Any]
    ) -> list[str]:
        """Make a table, take one that is there, or change its indexes; what was done to them."""
        name = name_of(table, made["name"])
        schemas = [table["KeySchema"], *(index["KeySchema"] for index in indexes_of(table).values())]
        keys = {key["AttributeName"] for schema in schemas for key in schema}
        if keys != {each["AttributeName"] for each in table["AttributeDefinitions"]}:
            raise ValueError("Some AttributeDefinitions are not used, or index keys are not declared")
        if was is None:
            if name not in self.dynamodb.list_tables()["TableNames"]:
                columns = ("KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes", "BillingMode")
                self.dynamodb.create_table(TableName=name, **{each: table[each] for each in columns if each in table})
            elif not made.get("ImportExistingResources") or not isinstance(table["TableName"], str):
                raise ValueError(f"{name} already exists in another stack, or outside of any")
            return []
        old, new = indexes_of(was), indexes_of(table)
        changed = [("Delete", index) for index in old if old[index] != new.get(index)]
        changed += [("Create", index) for index in new if old.get(index) != new[index]]
        if len(changed) > 1:
            raise ValueError(ONE_INDEX)
        for action, index in changed:
            definition = {"IndexName": index} if action == "Delete" else new[index]
            self.dynamodb.update_table(
                TableName=name,
                AttributeDefinitions=table["AttributeDefinitions"],
                GlobalSecondaryIndexUpdates=[{action: definition}],
            )
        return [f"{action} {logical}.{index}" for action, index in changed]
