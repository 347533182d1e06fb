"""Ids of jobs and other records: ULIDs (https://github.com/ulid/spec). Lists sort by them: they begin with a time."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta

from chalicelib.core.instants import sortable, utc

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BYTES = 10


def ulid(at: datetime, unique: str | None = None) -> str:
    """26 characters: 48 bits of milliseconds, then 80 bits that are random or a hash of `unique`.

    The same `at` and `unique` give the same id, so creating a job is safe to repeat.
    """
    millis = int(utc(at).timestamp() * 1000)
    tail = os.urandom(_RANDOM_BYTES) if unique is None else hashlib.sha256(unique.encode()).digest()[:_RANDOM_BYTES]
    number = (millis << 80) | int.from_bytes(tail, "big")
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def instant_of(record_id: str) -> datetime:
    """The instant in a ULID; `ValueError` when the text is not one."""
    if len(record_id) != 26:
        raise ValueError(f"not a ULID: {record_id!r}")
    number = 0
    for letter in record_id[:10]:
        number = (number << 5) | _ALPHABET.index(letter)
    return datetime.fromtimestamp(number / 1000, tz=UTC)


def job_id_of_slot(task_id: str, slot: datetime) -> str:
    """The id of the one job of a slot; its time part is the slot."""
    return ulid(slot, f"slot|{task_id}|{sortable(slot)}")


def job_id_of_request(accepted_at: datetime, task_id: str, request: str) -> str:
    """The id of a job started by an event or under an idempotency key; `accepted_at` is that of the first request."""
    return ulid(accepted_at, f"request|{task_id}|{request}")


def month_bucket(record_id: str) -> str:
    """The timeline partition of a job: the UTC month of its id, e.g. `2026-11`."""
    return instant_of(record_id).strftime("%Y-%m")


# The timeline partition of jobs made long after their slot: `once` in the past, or a long outage.
EARLY = "early"
# A job made later than this after the time in its id is one of them.
EARLY_AFTER = timedelta(days=1)


def timeline_bucket(job_id: str, made_at: datetime) -> str:
    """The timeline partition of a job: its month, or `early`, since lists walk only the months that jobs are kept."""
    return month_bucket(job_id) if utc(made_at) - instant_of(job_id) <= EARLY_AFTER else EARLY


def timeline_key(bucket: str, job_id: str, shards: int) -> str:
    """The partition of the timeline that a job is in: its bucket, or one of the other shards of it, `2026-11~3`.

    Shard 0 is the month itself, so jobs from before there were shards, or from when there were fewer, are in one. The
    few jobs of `early` are in one partition.
    """
    keys = timeline_keys(bucket, shards)
    return keys[shard_of(job_id, len(keys))]


def timeline_keys(bucket: str, shards: int) -> list[str]:
    """All partitions of a bucket."""
    return [bucket, *(f"{bucket}~{number}" for number in range(1, 1 if bucket == EARLY else shards))]


def months_between(first: datetime, last: datetime, *, oldest_first: bool = False) -> list[str]:
    """The month buckets of ids made in that time, both ends included; newest first by default."""
    at, found = utc(first).replace(day=1, hour=0, minute=0, second=0, microsecond=0), []
    while at <= last:
        found.append(f"{at:%Y-%m}")
        at = (at + timedelta(days=32)).replace(day=1)
    return found if oldest_first else found[::-1]


def shard_of(record_id: str, shards: int) -> int:
    """A stable number in [0, shards)."""
    return int.from_bytes(hashlib.sha256(record_id.encode()).digest()[:4], "big") % shards
