"""Answers kept for 24 hours under the key a client sent, so that a repeated POST is answered, not done, again."""

from __future__ import annotations

from datetime import datetime, timedelta

from pynamodb.attributes import NumberAttribute, TTLAttribute, UnicodeAttribute
from pynamodb.expressions.condition import Condition

from chalicelib.store.base import DocumentAttribute, InstantAttribute, Record, deleted, saved, table_name, written


class RequestRecord(Record):
    """In progress while `status` is absent: until `lease_until` the process that wrote it may be at work."""

    class Meta:
        table_name = table_name("requests")

    request_id = UnicodeAttribute(hash_key=True)
    fingerprint = UnicodeAttribute()
    # Ids are made from this instant, so that a request taken over after a crash makes the same ids.
    accepted_at = InstantAttribute()
    lease_until = InstantAttribute()
    status = NumberAttribute(null=True)
    headers = DocumentAttribute(null=True)
    body = UnicodeAttribute(null=True)
    expires_at = TTLAttribute()


def accept(
    request_id: str, fingerprint: str, *, now: datetime, lease: timedelta, kept: timedelta
) -> RequestRecord | None:
    """Begin a request; None when it is known already. A record past its expiry counts as unknown."""
    record = RequestRecord(
        request_id, fingerprint=fingerprint, accepted_at=now, lease_until=now + lease, expires_at=now + kept
    )
    if not saved(record, RequestRecord.request_id.does_not_exist() | (RequestRecord.expires_at <= now)):
        return None
    return record


def first_accepted(request_id: str, *, now: datetime, kept: timedelta) -> datetime:
    """When a request was first seen: `now`, unless it is known already."""
    made = accept(request_id, "", now=now, lease=timedelta(0), kept=kept)
    known = made or find(request_id)
    return now if known is None else known.accepted_at


def find(request_id: str) -> RequestRecord | None:
    try:
        return RequestRecord.get(request_id, consistent_read=True)
    except RequestRecord.DoesNotExist:
        return None


def take_over(record: RequestRecord, *, now: datetime, lease: timedelta) -> bool:
    """Take an unfinished request whose lease expired; False when another process took it first."""
    return written(record, [RequestRecord.lease_until.set(now + lease)], _held(record))


def keep_answer(record: RequestRecord, *, status: int, headers: dict[str, str], body: str) -> None:
    written(
        record,
        [
            RequestRecord.status.set(status),
            RequestRecord.headers.set(headers),
            RequestRecord.body.set(body),
        ],
        _held(record),
    )


def release(record: RequestRecord, *, at: datetime) -> None:
    """Give up the lease, so that a repeat takes over at once, with the same instant of acceptance."""
    written(record, [RequestRecord.lease_until.set(at)], _held(record))


def forget(record: RequestRecord) -> None:
    deleted(record, _held(record))


def _held(record: RequestRecord) -> Condition:
    held: Condition = RequestRecord.status.does_not_exist() & (RequestRecord.lease_until == record.lease_until)
    return held
