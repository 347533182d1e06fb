"""A stage in this process without botocore: tables, queue and bucket in memory, under a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any
from unittest import mock

from chalicelib.aws import clients
from chalicelib.settings import settings
from chalicelib.store import base
from tests.model.tables import UNHEARD, Call, Tables, plainly, refused
from tests.support.world import START

# A message that its worker did not finish comes back after this.
VISIBILITY = timedelta(seconds=960)


@dataclass(eq=False)
class Message:
    body: str
    due: datetime


class Queue:
    """SQS: at least once, in no order, held back as long as asked."""

    def __init__(self, aws: Aws):
        self.aws, self.meta = aws, UNHEARD
        self.messages: list[Message] = []

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        assert len(Entries) <= 10
        self.aws.moment("before sqs.SendMessageBatch")
        answer = self.aws.tables.around("sqs.SendMessageBatch", {"Entries": Entries}, self._take)
        self.aws.moment("after sqs.SendMessageBatch")
        return answer

    def _take(self, given: dict[str, Any]) -> dict[str, Any]:
        for entry in given["Entries"]:
            assert 0 <= entry["DelaySeconds"] <= 900
            due = self.aws.now + timedelta(seconds=entry["DelaySeconds"])
            self.messages.append(Message(entry["MessageBody"], due))
        return {}

    def due(self) -> list[Message]:
        return [message for message in self.messages if message.due <= self.aws.now]

    def done(self, message: Message) -> None:
        if message in self.messages:
            self.messages.remove(message)


class Bucket:
    """S3, as far as jobs without an export use it: objects, and no upload in parts."""

    exceptions = SimpleNamespace(NoSuchUpload=KeyError, NoSuchKey=KeyError)

    def __init__(self, aws: Aws):
        self.aws, self.meta = aws, UNHEARD
        self.objects: dict[str, bytes] = {}
        self.metadata: dict[str, dict[str, str]] = {}
        # Told of every object in the moment in which it is there.
        self.put: Callable[[str], None] = lambda key: None

    def _call(self, operation: str, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return self._call_with(operation, {}, lambda given: act())

    def _call_with(self, operation: str, given: dict[str, Any], act: Call) -> dict[str, Any]:
        self.aws.moment(f"before s3.{operation}")
        answer = self.aws.tables.around(f"s3.{operation}", given, act)
        self.aws.moment(f"after s3.{operation}")
        return answer

    def put_object(self, Bucket: str, Key: str, Body: Any, Metadata: Any = None, **_: Any) -> dict[str, Any]:
        content = Body if isinstance(Body, bytes) else bytes(Body)

        def put() -> dict[str, Any]:
            self.objects[Key], self.metadata[Key] = content, dict(Metadata or {})
            self.put(Key)
            return {}

        return self._call("PutObject", put)

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        def head() -> dict[str, Any]:
            if Key not in self.objects:
                raise refused("404", "Not Found", "HeadObject")
            return {"Metadata": self.metadata[Key], "ContentLength": len(self.objects[Key])}

        return self._call("HeadObject", head)

    def delete_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        return self._call("DeleteObject", lambda: {"Gone": self.objects.pop(Key, None)})

    def delete_objects(self, Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:
        def remove(given: dict[str, Any]) -> dict[str, Any]:
            return {"Gone": [self.objects.pop(each["Key"], None) for each in given["Delete"]["Objects"]]}

        return self._call_with("DeleteObjects", {"Delete": Delete}, remove)

    def get_paginator(self, operation: str) -> Any:
        def paginate(Bucket: str, Prefix: str) -> list[dict[str, Any]]:
            found = [{"Key": key} for key in sorted(self.objects) if key.startswith(Prefix)]
            answer = {"Contents": found} if operation == "list_objects_v2" else {}
            return [self._call(operation, lambda: answer)]

        return SimpleNamespace(paginate=paginate)


@dataclass
class Aws:
    now: datetime = START
    tables: Tables = field(default_factory=Tables)
    # What is random in ids: the same again in every sequence.
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    # Called before and after every call of the product, with its name: where processes stop or die.
    moment: Callable[[str], None] = lambda name: None

    def __post_init__(self) -> None:
        self.queue, self.bucket = Queue(self), Bucket(self)
        self.tables.moment = lambda name: self.moment(name)

    def empty(self) -> None:
        self.now, self.numbers = START, count(1)
        self.tables.empty()
        self.tables.watchers.clear()
        self.tables.around = plainly
        self.queue.messages.clear()
        self.bucket.objects.clear()

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@contextmanager
def in_memory() -> Iterator[Aws]:
    """The product's clients are these, as long as it lasts."""
    aws = Aws()
    services = {"sqs": aws.queue, "s3": aws.bucket}
    made = SimpleNamespace(create_client=lambda *_, **__: aws.tables)
    cached = (base.client, clients.client, settings)
    for each in cached:
        each.cache_clear()
    try:
        with (
            mock.patch.object(base, "Session", return_value=made),
            mock.patch.object(clients, "boto3", SimpleNamespace(client=lambda service, **_: services[service])),
        ):
            yield aws
    finally:
        for each in cached:
            each.cache_clear()
