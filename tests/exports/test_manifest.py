"""What a file says of itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from chalicelib.exports.compression import Compression
from chalicelib.exports.manifest import Manifest, dump, load


def a_manifest(**overrides: Any) -> Manifest:
    values: dict[str, Any] = {
        "file_name": "航班.csv.gz",
        "key": "files/J/1/1/x",
        "format": "csv",
        "compression": Compression.GZIP,
        "rows": 3,
        "bytes": 100,
        "uncompressed_bytes": 300,
        "sha256": "ab" * 32,
        "columns": ({"name": "a", "type": "integer"},),
        "query": "main",
        "source_id": "S1",
        "source_name": "sales",
        "window_start": datetime(2013, 1, 1, tzinfo=timezone(timedelta(hours=8))),
        "window_end": None,
        "started_at": datetime(2013, 1, 2, 3, 4, 5, 678900, tzinfo=UTC),
        "finished_at": datetime(2013, 1, 2, 3, 4, 6, tzinfo=UTC),
    }
    return Manifest(**(values | overrides))


def test_a_manifest_is_plain_json() -> None:
    found = json.loads(json.dumps(a_manifest().as_dict()))
    assert found["window_start"] == "2012-12-31T16:00:00Z"
    assert found["started_at"] == "2013-01-02T03:04:05.678Z"
    assert found["compression"] == "gzip"
    assert found["truncated"] is False
    assert found["source_tls"] is None
    assert found["columns"] == [{"name": "a", "type": "integer"}]


def test_a_manifest_comes_back_as_it_went() -> None:
    original = a_manifest(started_at=datetime(2013, 1, 2, tzinfo=UTC))
    assert Manifest.from_dict(original.as_dict()) == original


def test_what_a_later_version_adds_is_left_out() -> None:
    assert Manifest.from_dict(a_manifest().as_dict() | {"colour": "red"}).file_name == "航班.csv.gz"


def test_the_object_holds_all_files_of_the_run() -> None:
    content = dump("J", 2, [a_manifest(query="a"), a_manifest(query="b")])
    found = json.loads(content)
    assert (found["version"], found["job_id"], found["run_no"]) == (1, "J", 2)
    assert [file.query for file in load(content)] == ["a", "b"]
