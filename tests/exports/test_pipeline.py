"""Blocks on their way to an object."""

from __future__ import annotations

import gzip
import hashlib
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.errors import EmptyResult, FileNotWritten, Stopped
from chalicelib.exports.compression import Compression
from chalicelib.exports.formats.csv import Csv
from chalicelib.exports.pipeline import Written, write_file
from chalicelib.sources.csv_options import CsvOptions
from chalicelib.sources.protocol import Query
from chalicelib.sources.registry import open_source
from tests.support.postgres import PostgresServer
from tests.support.s3 import BUCKET, Saboteur, left_behind, refusal

KEY = "files/J/1/1/a.csv"
BLOCKS = [bytes([65 + n]) * (1 << 20) for n in range(20)]


def extract_of(blocks: list[bytes], rows: int = 7) -> Callable[[Callable[[bytes], None]], int]:
    def extract(sink: Callable[[bytes], None]) -> int:
        for block in blocks:
            sink(block)
        return rows

    return extract


def write(client: Any, blocks: list[bytes], **overrides: Any) -> Written:
    options: dict[str, Any] = {"compression": Compression.NONE, "content_type": Csv.content_type, **overrides}
    return write_file(extract_of(blocks), client, BUCKET, KEY, **options)


def stored(client: Any) -> Any:
    return client.get_object(Bucket=BUCKET, Key=KEY)


@pytest.mark.parametrize("compression", list(Compression))
@pytest.mark.parametrize("blocks", [[], [b"a,b\n"], BLOCKS])
def test_what_is_written_is_what_is_told(client: Any, blocks: list[bytes], compression: Compression) -> None:
    written = write(client, blocks, compression=compression)
    body = stored(client)["Body"].read()
    assert written == Written(7, len(body), sum(map(len, blocks)), hashlib.sha256(body).hexdigest())
    plain = gzip.decompress(body) if compression is Compression.GZIP else body
    assert plain == b"".join(blocks)


def test_the_same_rows_give_the_same_bytes(client: Any) -> None:
    first = write(client, BLOCKS, compression=Compression.GZIP)
    assert write(client, BLOCKS, compression=Compression.GZIP).sha256 == first.sha256


@pytest.mark.parametrize(
    ("compression", "content_type"),
    [(Compression.NONE, "text/csv; charset=utf-8"), (Compression.GZIP, "application/gzip")],
)
def test_a_download_is_never_unpacked_on_the_way(client: Any, compression: Compression, content_type: str) -> None:
    write(client, [b"a\n"], compression=compression)
    assert stored(client)["ContentType"] == content_type
    assert "ContentEncoding" not in stored(client)


def test_progress_is_told_per_block(client: Any) -> None:
    told: list[int] = []
    write(client, BLOCKS[:3], progress=told.append)
    assert told == [1 << 20, 2 << 20, 3 << 20]


@pytest.mark.parametrize("at", [1, 2, 12, 21])
def test_a_stop_at_any_block_leaves_nothing(client: Any, at: int) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise Stopped()

    with pytest.raises(Stopped):
        write(client, BLOCKS, check=check)
    assert left_behind(client) == []


def test_a_refused_row_count_leaves_nothing(client: Any) -> None:
    def accept(rows: int) -> None:
        assert rows == 7
        raise EmptyResult()

    with pytest.raises(EmptyResult):
        write(client, BLOCKS, accept=accept)
    assert left_behind(client) == []


@pytest.mark.parametrize("operation", ["create_multipart_upload", "upload_part", "complete_multipart_upload"])
def test_a_failing_upload_leaves_nothing(client: Any, operation: str) -> None:
    with pytest.raises(FileNotWritten):
        write(Saboteur(client, operation, refusal(operation)), BLOCKS)
    assert left_behind(client) == []


class Sink:
    """An S3 that keeps nothing."""

    def create_multipart_upload(self, **_: Any) -> dict[str, str]:
        return {"UploadId": "u"}

    def upload_part(self, **_: Any) -> dict[str, str]:
        return {"ETag": "e"}

    def complete_multipart_upload(self, **_: Any) -> None:
        pass


def test_memory_does_not_grow_with_the_rows(postgres: PostgresServer) -> None:
    """300,000 rows of 300 bytes: 90 MB through less than 45."""
    sql = "SELECT n, repeat(md5(n::text), 9) AS word FROM generate_series(1, 300000) AS n"
    with open_source("postgres", postgres.settings, postgres.password) as source:
        source.test()
        tracemalloc.start()
        try:
            written = write_file(
                lambda sink: source.export_csv(Query("q", sql), CsvOptions(), sink),
                Sink(),
                BUCKET,
                KEY,
                compression=Compression.NONE,
                content_type=Csv.content_type,
            )
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert written.rows == 300_000
    assert written.bytes > 85_000_000
    assert peak < 45_000_000
