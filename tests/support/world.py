"""A whole stage in memory: environment, tables, queue and bucket.

Importing this module sets the environment, so import it before anything of chalicelib.
"""

from __future__ import annotations

import json
import os
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

REGION = "us-east-1"
STAGE = "carillon-test"
QUEUE_URL = f"https://sqs.{REGION}.amazonaws.com/123456789012/{STAGE}-work"
DATA_FOLDER = Path(tempfile.mkdtemp(prefix="carillon-data-"))

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "CARILLON_STAGE": "test",
    "CARILLON_TABLES": STAGE,
    "CARILLON_QUEUE_URL": QUEUE_URL,
    "CARILLON_BUCKET": f"{STAGE}-files",
    "CARILLON_SECRETS": STAGE,
    "CARILLON_RULES": STAGE,
    "CARILLON_FIRE_ARN": f"arn:aws:lambda:{REGION}:123456789012:function:{STAGE}-fire",
    "CARILLON_DATA_FOLDER": str(DATA_FOLDER),
    # The servers of the tests.
    "CARILLON_ALLOWED_NETWORKS": "127.0.0.0/8",
}
os.environ.update(ENVIRONMENT)
for _name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_REGION"):
    os.environ.pop(_name, None)

import boto3  # noqa: E402
from boto3.dynamodb.types import TypeDeserializer  # noqa: E402
from moto import mock_aws  # noqa: E402
from moto.dynamodb.models import dynamodb_backends  # noqa: E402

from tests.support import quick_moto  # noqa: E402, F401

TABLES = Path(__file__).parents[2] / "infra" / "tables.json"
ACCOUNT = "123456789012"
START = datetime(2026, 3, 2, 9, 0, 0, tzinfo=UTC)
# What `create_table` takes of a template's table; the rest is for the real thing.
_CREATED_WITH = ("KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes", "BillingMode")


@cache
def table_declarations() -> list[dict[str, Any]]:
    """The arguments of `create_table` for each table, names resolved for this stage."""
    resources = json.loads(TABLES.read_text())["Resources"]
    return [
        {
            "TableName": resource["Properties"]["TableName"]["Fn::Sub"].replace("${AWS::StackName}", STAGE),
            **{name: resource["Properties"][name] for name in _CREATED_WITH if name in resource["Properties"]},
        }
        for resource in resources.values()
        if resource["Type"] == "AWS::DynamoDB::Table"
    ]


@cache
def _client(service: str) -> Any:
    """Clients outlive worlds: moto stands behind every one, and making them costs more than all the tables."""
    return boto3.client(service, region_name=REGION)


@dataclass
class World:
    """One stage, empty at the start of each test."""

    now: datetime = START
    bucket: str = ENVIRONMENT["CARILLON_BUCKET"]
    queue_url: str = QUEUE_URL
    data_folder: Path = DATA_FOLDER
    # moto stands in this process; ministack is one of its own.
    in_process: bool = True
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def client(self, service: str) -> Any:
        return _client(service)

    def forward(self, **delta: float) -> datetime:
        """Move the test's clock: `world.forward(seconds=90)`."""
        self.now += timedelta(**delta)
        return self.now

    def messages(self) -> list[dict[str, Any]]:
        """Every message now visible in the work queue, bodies parsed, taken off the queue."""
        queue, found = self.client("sqs"), []
        while batch := queue.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10).get("Messages"):
            for message in batch:
                found.append(json.loads(message["Body"]))
                queue.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
        return found

    def objects(self) -> dict[str, bytes]:
        """Every object in the bucket."""
        s3 = self.client("s3")
        return {
            item["Key"]: s3.get_object(Bucket=self.bucket, Key=item["Key"])["Body"].read()
            for item in s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        }

    def items(self, table: str) -> list[dict[str, Any]]:
        """Every raw item of a table, in Python's types."""
        read = TypeDeserializer().deserialize
        found = self.client("dynamodb").scan(TableName=f"{STAGE}-{table}")["Items"]
        return [{name: read(value) for name, value in item.items()} for item in found]

    def number(self) -> int:
        return next(self._numbers)


def clean() -> None:
    """Forget what another test of this process left: the address of an emulator, and clients made for it."""
    from chalicelib.aws import clients
    from chalicelib.settings import settings
    from chalicelib.store import base

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(ENVIRONMENT)
    for cached in (_client, clients.client, base.client, settings):
        cached.cache_clear()


def is_clean() -> bool:
    from chalicelib.store import base

    left = {name for name in os.environ if name.startswith("AWS_")} - set(ENVIRONMENT)
    same = all(os.environ.get(name) == value for name, value in ENVIRONMENT.items())
    made_for = base.client().meta.endpoint_url if base.client.cache_info().currsize else ""
    return same and not left and "127.0.0.1" not in made_for and "127.0.0.1" not in _client("sqs").meta.endpoint_url


@cache
def _empty_tables() -> bytes:
    """moto's tables as `create_table` leaves them: each world gets a copy, which takes a fiftieth of making them."""
    tables = _client("dynamodb")
    for declaration in table_declarations():
        tables.create_table(**declaration)
    return pickle.dumps(dynamodb_backends[ACCOUNT][REGION].tables)


@contextmanager
def a_world() -> Iterator[World]:
    if not is_clean():
        clean()
    with mock_aws():
        world = World()
        dynamodb_backends[ACCOUNT][REGION].tables = pickle.loads(_empty_tables())
        made = world.client("sqs").create_queue(QueueName=f"{STAGE}-work")
        assert made["QueueUrl"] == QUEUE_URL
        world.client("s3").create_bucket(Bucket=world.bucket)
        yield world
