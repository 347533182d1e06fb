"""A stack that an earlier release made is brought up to today's, with all its records, one index at a time."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra import change_sets, stack, upgrade
from infra import template as templates
from tests.support import records_before
from tests.support.records_before import items
from tests.support.strict_cloudformation import StrictCloudFormation, indexes_of, tables_of
from tests.support.world import STAGE, World

BEFORE = json.loads((Path(__file__).parents[1] / "data" / "tables_before.json").read_text(encoding="utf-8"))


def whole(tables: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A template with these tables and a bucket, as `deploy` reads it."""
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {}}
    return {"Parameters": {"Colour": {"Default": "red"}}, "Resources": {**tables, "FilesBucket": bucket, **more}}


def first_release() -> dict[str, Any]:
    return whole(copy.deepcopy(BEFORE["Resources"]))


def today() -> dict[str, Any]:
    made = templates.merge_file("test")
    return whole({name: each for name, each in made["Resources"].items() if name.endswith("Table")})


def much_later() -> dict[str, Any]:
    """A release that adds two indexes of a table, changes the keys of one, and removes two."""
    made = today()
    jobs = made["Resources"]["JobsTable"]["Properties"]
    known = {index["IndexName"]: index for index in jobs["GlobalSecondaryIndexes"]}
    for name in ("by_group", "by_reason"):
        del known[name]
    for name, column in (("by_shelf", "shelf"), ("by_month", "month"), ("by_operator", "operator")):
        known[name] = {
            "IndexName": name,
            "KeySchema": [{"AttributeName": column, "KeyType": "HASH"}, {"AttributeName": "rank", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    jobs["GlobalSecondaryIndexes"] = list(known.values())
    types = {each["AttributeName"]: each["AttributeType"] for each in jobs["AttributeDefinitions"]} | {"shelf": "S"}
    schemas = [jobs["KeySchema"], *(index["KeySchema"] for index in known.values())]
    used = sorted({key["AttributeName"] for schema in schemas for key in schema})
    jobs["AttributeDefinitions"] = [{"AttributeName": name, "AttributeType": types[name]} for name in used]
    return made


RELEASES = {"today": today, "much later": much_later}


@dataclass
class Account:
    """An account with one stage, deployed by `stack.deploy`."""

    world: World
    cloudformation: StrictCloudFormation
    folder: Path

    region_name = "us-east-1"

    def client(self, service: str) -> Any:
        return self.cloudformation if service == "cloudformation" else self.world.client(service)

    def deploy(self, template: dict[str, Any], **parameters: str) -> list[str]:
        """Deploy a release; what was said."""
        (self.folder / "template.json").write_text(json.dumps(template), encoding="utf-8")
        package = stack.Package(self.folder, "test", [], {})
        said: list[str] = []
        session: Any = self
        stack.deploy(package, STAGE, parameters, session, said.append)
        return said

    def indexes(self, table: str) -> set[str]:
        found = self.world.client("dynamodb").describe_table(TableName=f"{STAGE}-{table}")["Table"]
        return {index["IndexName"] for index in found.get("GlobalSecondaryIndexes", [])}

    def records(self) -> dict[str, list[Any]]:
        found = {table: self.world.client("dynamodb").scan(TableName=f"{STAGE}-{table}")["Items"] for table in TABLES}
        return {table: sorted(rows, key=lambda row: json.dumps(row, default=str)) for table, rows in found.items()}


def bring(account: Any, template: dict[str, Any], *, create: bool) -> None:
    """Deploy a template in one go, as the first release did."""
    change_sets.run(
        account.cloudformation,
        STAGE,
        create=create,
        template_url=stack.put_template(account, stack.artifacts_bucket(account), template),
        parameters=[{"ParameterKey": "Colour", "ParameterValue": "red"}],
        tags=[],
        say=print,
    )


TABLES = list(records_before.dump()["tables"])


@pytest.fixture
def account(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    """A stack of the first release, with the records of an earlier day in its tables."""
    monkeypatch.setattr(change_sets, "POLL_SECONDS", 0.0)
    database = world.client("dynamodb")
    for name in database.list_tables()["TableNames"]:
        database.delete_table(TableName=name)
    made = Account(world, StrictCloudFormation(database, world.client("s3")), tmp_path)
    bring(made, first_release(), create=True)
    for table in TABLES:
        for item in items(table):
            database.put_item(TableName=f"{STAGE}-{table}", Item=item)
    made.cloudformation.executed.clear()
    return made


def is_at(account: Account, release: dict[str, Any]) -> None:
    for table in tables_of(release).values():
        assert account.indexes(table["TableName"].removeprefix(f"{STAGE}-")) == set(indexes_of(table))
    assert account.cloudformation.template == release


@pytest.mark.parametrize("release", RELEASES)
def test_a_stack_of_the_first_release_comes_up_to_date_with_its_records(account: Account, release: str) -> None:
    had = account.records()
    assert sum(map(len, had.values())) > 100
    account.deploy(RELEASES[release]())
    is_at(account, RELEASES[release]())
    assert account.records() == had
    assert all(len(done) <= 1 for done in account.cloudformation.executed)


def test_all_at_once_is_what_aws_refuses(account: Account) -> None:
    """The stand-in refuses what AWS does, so that the tests above mean something."""
    with pytest.raises(change_sets.DeployProblem, match="more than one GSI"):
        bring(account, much_later(), create=False)


def test_what_is_added_comes_before_the_new_code_and_what_goes_goes_after_it(account: Account) -> None:
    said = account.deploy(much_later())
    steps = [line.partition(": ")[2] for line in said if line.startswith("  ")]
    code = steps.index("bring in the new version")
    before, after = steps[:code], steps[code + 1 :]
    assert {"add index by_shelf to JobsTable", "add index by_month to JobsTable"} <= set(before)
    # DynamoDB cannot change an index: it is removed and made again, at once.
    assert before.index("add index by_operator to JobsTable") > before.index(
        "remove index by_operator of JobsTable, which changes"
    )
    assert {"remove index by_group of JobsTable", "remove index by_reason of JobsTable"} <= set(after)
    assert said[1].startswith(f"  1 of {len(steps)}: ")


def test_until_the_new_code_the_old_one_keeps_what_it_reads(account: Account) -> None:
    seen: list[set[str]] = []
    execute = account.cloudformation.execute_change_set

    def watched(ChangeSetName: str) -> None:
        execute(ChangeSetName)
        seen.append(account.indexes("jobs"))

    account.cloudformation.execute_change_set = watched  # type: ignore[method-assign]
    account.deploy(much_later())
    old = {index["IndexName"] for index in BEFORE["Resources"]["JobsTable"]["Properties"]["GlobalSecondaryIndexes"]}
    new = set(indexes_of(tables_of(much_later())["JobsTable"]))
    both = next(number for number, found in enumerate(seen) if new <= found)
    assert all(old - {"by_operator"} <= found for found in seen[: both + 1])


@pytest.mark.parametrize("call", ["create_change_set", "execute_change_set", "after execute_change_set"])
def test_a_deploy_that_breaks_off_at_any_step_is_taken_up(account: Account, call: str) -> None:
    had = account.records()
    breaks = 0
    for _ in range(40):
        account.cloudformation.dies_at = call
        try:
            account.deploy(much_later())
            break
        except KeyboardInterrupt:
            breaks += 1
            # Death before the call does nothing: let that one through, or no deploy gets further.
            if not call.startswith("after"):
                one_step(account)
    account.cloudformation.dies_at = ""
    account.deploy(much_later())
    assert breaks >= 4
    is_at(account, much_later())
    assert account.records() == had


def one_step(account: Account) -> None:
    account.cloudformation.dies_at = "after execute_change_set"
    with pytest.raises(KeyboardInterrupt):
        account.deploy(much_later())


def test_the_name_of_a_change_set_that_failed_is_not_used_again(account: Account) -> None:
    broken = today()
    broken["Resources"]["JobsTable"]["Properties"]["AttributeDefinitions"].append(
        {"AttributeName": "spare", "AttributeType": "S"}
    )
    for _ in range(2):
        with pytest.raises(change_sets.DeployProblem, match="AttributeDefinitions"):
            account.deploy(broken)
    account.deploy(today())
    is_at(account, today())


def test_the_same_release_is_not_deployed_again(account: Account) -> None:
    account.deploy(today())
    made = len(account.cloudformation.change_sets)
    assert account.deploy(today()) == [f"Stack {STAGE} is up to date."]
    assert "Updating" in account.deploy(today(), Colour="blue")[0]
    assert len(account.cloudformation.change_sets) == made + 1


def test_the_digest_of_earlier_releases_leaves_the_tags_and_others_stay(account: Account) -> None:
    assert account.cloudformation.stack is not None
    own = {"Key": "team", "Value": "data"}
    account.cloudformation.stack["Tags"] = [{"Key": stack.OLD_TAG, "Value": "abc"}, own]
    account.deploy(today())
    assert account.cloudformation.stack["Tags"] == [own]


@pytest.mark.parametrize("release", RELEASES)
def test_a_new_stack_takes_the_tables_that_a_deleted_one_left(account: Account, release: str) -> None:
    had = account.records()
    account.cloudformation.stack = account.cloudformation.template = None
    account.deploy(RELEASES[release]())
    is_at(account, RELEASES[release]())
    assert account.records() == had


def test_a_table_has_room_for_twenty_indexes(account: Account) -> None:
    later = today()
    jobs = later["Resources"]["JobsTable"]["Properties"]
    kept = jobs["GlobalSecondaryIndexes"][:8]
    more = [
        {
            "IndexName": f"new_{number}",
            "KeySchema": [{"AttributeName": "month", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
        for number in range(12)
    ]
    jobs["GlobalSecondaryIndexes"] = kept + more
    schemas = [jobs["KeySchema"], *(index["KeySchema"] for index in jobs["GlobalSecondaryIndexes"])]
    used = {key["AttributeName"] for schema in schemas for key in schema}
    jobs["AttributeDefinitions"] = [each for each in jobs["AttributeDefinitions"] if each["AttributeName"] in used]
    live = {name: upgrade.Table.described(table) for name, table in tables_of(first_release()).items()}
    for step in upgrade.plan(first_release(), later, live):
        assert len(indexes_of(tables_of(step.template)["JobsTable"])) <= upgrade.MOST_INDEXES


def test_a_stack_keeps_its_bucket(account: Account) -> None:
    named, unnamed = today(), today()
    named["Resources"]["FilesBucket"]["Properties"]["BucketName"] = "had"
    assert stack.with_bucket(today(), named, None) == named
    assert stack.with_bucket(today(), None, "had") == named
    assert stack.with_bucket(today(), unnamed, None) == unnamed
    with pytest.raises(change_sets.DeployProblem, match="for a new stack"):
        stack.with_bucket(today(), unnamed, "another")
