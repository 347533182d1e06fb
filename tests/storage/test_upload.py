"""Parts, bounds, and that nothing is left behind."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from chalicelib.errors import FileNotWritten
from chalicelib.storage import upload as subject
from chalicelib.storage.upload import FIRST_PART_BYTES, IN_FLIGHT, MAX_PARTS, MIB, Upload, part_bytes
from tests.support.s3 import BUCKET, Saboteur, Watcher, left_behind, refusal, unreachable

# Seconds to wait for another thread: far more than it takes on a busy machine.
PATIENCE = 60
KEY = "files/job/1/1/a.csv"
TWO_PARTS = os.urandom(MIB) * 9
BIG = os.urandom(MIB) * 34


def start(client: Any) -> Upload:
    return Upload(client, BUCKET, KEY, content_type="text/csv")


def send(client: Any, content: bytes, block: int = MIB) -> None:
    with start(client) as upload:
        for at in range(0, len(content), block):
            upload.write(content[at : at + block])
        upload.complete()


def stored(client: Any) -> bytes:
    body: bytes = client.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
    return body


# --- arithmetic -------------------------------------------------------------------------------------------------------


def test_ten_thousand_parts_hold_the_largest_object() -> None:
    assert sum(part_bytes(number) for number in range(1, MAX_PARTS + 1)) >= 5 * 1024 * 1024 * MIB


def test_every_part_has_a_size_s3_takes() -> None:
    sizes = [part_bytes(number) for number in range(1, MAX_PARTS + 1)]
    assert min(sizes) == FIRST_PART_BYTES >= 5 * MIB
    assert max(sizes) <= 5 * 1024 * MIB
    assert sizes == sorted(sizes)


def test_ten_million_rows_travel_in_the_smallest_parts() -> None:
    assert {part_bytes(number) for number in range(1, 1001)} == {8 * MIB}


def test_parts_grow_in_a_real_upload(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "PARTS_PER_SIZE", 2)
    monkeypatch.setattr(subject, "FIRST_PART_BYTES", 5 * MIB)
    parts: dict[int, int] = {}
    send(Watcher(client, parts.__setitem__), BIG)
    assert [parts[number] // MIB for number in sorted(parts)] == [5, 5, 10, 10, 4]
    assert stored(client) == BIG


def test_a_file_of_too_many_parts_is_refused(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MAX_PARTS", 2)
    with pytest.raises(FileNotWritten, match="larger than S3 can take"):
        send(client, BIG)
    assert left_behind(client) == []


# --- bytes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, FIRST_PART_BYTES - 1])
def test_a_small_file_goes_by_one_put(client: Any, size: int) -> None:
    watched = Saboteur(client, "nothing", refusal("nothing"))
    send(watched, b"x" * size)
    assert watched.calls == ["put_object"]
    assert stored(client) == b"x" * size


@pytest.mark.parametrize("block", [1_000_003, FIRST_PART_BYTES, 20 * MIB, 100 * MIB])
def test_blocks_of_any_size_arrive_in_order(client: Any, block: int) -> None:
    parts: dict[int, int] = {}
    send(Watcher(client, parts.__setitem__), BIG, block)
    assert stored(client) == BIG
    assert [parts[number] // MIB for number in sorted(parts)] == [8, 8, 8, 8, 2]


def test_a_file_of_exactly_one_part_has_no_empty_second(client: Any) -> None:
    parts: dict[int, int] = {}
    send(Watcher(client, parts.__setitem__), b"x" * FIRST_PART_BYTES)
    assert parts == {1: FIRST_PART_BYTES}


def test_the_content_type_is_kept(client: Any) -> None:
    send(client, TWO_PARTS)
    assert client.head_object(Bucket=BUCKET, Key=KEY)["ContentType"] == "text/csv"


def test_no_more_than_a_few_parts_are_in_flight(client: Any) -> None:
    lock, now, most = threading.Lock(), 0, 0
    two, enough = threading.Event(), threading.Event()

    def on_part(number: int, size: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            if now == 2:
                two.set()
            if now == IN_FLIGHT:
                enough.set()
        assert two.wait(PATIENCE), "a second part goes while the first one does"
        enough.wait(0.2)
        with lock:
            now -= 1

    send(Watcher(client, on_part), BIG * 2)
    assert 2 <= most <= IN_FLIGHT


def test_large_parts_go_one_at_a_time(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "IN_FLIGHT_BYTES", 9 * MIB)
    busy = threading.Lock()

    def on_part(number: int, size: int) -> None:
        assert busy.acquire(blocking=False)
        threading.Event().wait(0.02)
        busy.release()

    send(Watcher(client, on_part), BIG)
    assert stored(client) == BIG


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "at", "after", "content"),
    [
        ("put_object", 1, False, b"small"),
        ("put_object", 1, True, b"small"),  # written, but the answer was lost
        ("create_multipart_upload", 1, False, TWO_PARTS),
        ("upload_part", 1, False, TWO_PARTS),
        ("upload_part", 2, False, TWO_PARTS),
        ("upload_part", 3, False, BIG),
        ("upload_part", 5, True, BIG),
        ("complete_multipart_upload", 1, False, BIG),
        ("complete_multipart_upload", 1, True, BIG),  # completed, but the answer was lost
    ],
)
@pytest.mark.parametrize("error", [refusal("x"), unreachable()])
def test_a_failed_call_leaves_nothing(
    client: Any, operation: str, at: int, after: bool, content: bytes, error: Exception
) -> None:
    with pytest.raises(FileNotWritten) as failed:
        send(Saboteur(client, operation, error, at=at, after=after), content)
    assert KEY in failed.value.message
    assert not failed.value.permanent
    assert left_behind(client) == []


def test_the_message_of_s3_reaches_the_reader(client: Any) -> None:
    with pytest.raises(FileNotWritten, match="AccessDenied"):
        send(Saboteur(client, "upload_part", refusal("x", "AccessDenied")), TWO_PARTS)


def test_a_bucket_that_does_not_exist_is_named(client: Any) -> None:
    with (
        pytest.raises(FileNotWritten, match="NoSuchBucket"),
        Upload(client, "nowhere", KEY, content_type="x") as upload,
    ):
        upload.complete()


def leave(client: Any, content: bytes) -> None:
    with start(client) as upload:
        upload.write(content)
        raise KeyboardInterrupt


def test_leaving_early_aborts(client: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        leave(client, BIG)
    assert left_behind(client) == []


def test_an_abort_waits_for_parts_on_their_way(client: Any) -> None:
    """A part that lands after the abort would stay stored, and paid for."""
    order: list[str] = []

    def on_part(number: int, size: int) -> None:
        threading.Event().wait(0.1)
        order.append("part")

    watched = Watcher(client, on_part)
    watched.abort_multipart_upload = lambda **arguments: (  # type: ignore[attr-defined]
        order.append("abort"),
        client.abort_multipart_upload(**arguments),
    )
    with pytest.raises(KeyboardInterrupt):
        leave(watched, TWO_PARTS)
    assert order == ["part", "abort"]


def test_no_thread_stays(client: Any) -> None:
    send(client, BIG)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("upload")] == []
