"""Where objects lie, and how a run's are removed."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.errors import FileNotWritten
from chalicelib.storage.layout import discard_job, discard_run, file_key, manifest_key
from tests.support.partial import refusing
from tests.support.s3 import BUCKET, Saboteur, left_behind, refusal

KIND = "report_export"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a.csv", "files/report_export/J1/2/3/a.csv"),
        ("a b&c?.csv", "files/report_export/J1/2/3/a%20b%26c%3F.csv"),
        ("航班.csv.gz", "files/report_export/J1/2/3/%E8%88%AA%E7%8F%AD.csv.gz"),
        ("../up.csv", "files/report_export/J1/2/3/..%2Fup.csv"),
    ],
)
def test_a_files_key_is_plain_ascii(name: str, key: str) -> None:
    assert file_key(KIND, "J1", 2, 3, name) == key


def test_the_longest_file_name_fits_into_a_key() -> None:
    assert len(file_key(KIND, "J" * 26, 32, 100, "é" * 127)) <= 1024


def test_the_manifest_lies_beside_the_files() -> None:
    assert manifest_key(KIND, "J1", 2) == "files/report_export/J1/2/manifest.json"


def fill(client: Any, job_id: str, run_no: int, objects: int = 2, uploads: int = 2) -> None:
    for number in range(objects):
        client.put_object(Bucket=BUCKET, Key=file_key(KIND, job_id, run_no, number, "a.csv"), Body=b"x")
    for number in range(uploads):
        client.create_multipart_upload(Bucket=BUCKET, Key=file_key(KIND, job_id, run_no, number, "b.csv"))
    client.put_object(Bucket=BUCKET, Key=manifest_key(KIND, job_id, run_no), Body=b"{}")


def test_discard_removes_everything_of_the_run(client: Any) -> None:
    fill(client, "J1", 1)
    assert discard_run(client, BUCKET, KIND, "J1", 1) == 4
    assert left_behind(client) == []


def test_discard_leaves_other_runs_alone(client: Any) -> None:
    fill(client, "J1", 1)
    fill(client, "J1", 11)
    fill(client, "J11", 1)
    before = len(left_behind(client))
    discard_run(client, BUCKET, KIND, "J1", 1)
    assert len(left_behind(client)) == before - 5


def test_discard_may_be_repeated(client: Any) -> None:
    fill(client, "J1", 1)
    discard_run(client, BUCKET, KIND, "J1", 1)
    assert discard_run(client, BUCKET, KIND, "J1", 1) == 0


def test_discard_goes_through_every_page(client: Any) -> None:
    def two_at_a_time(params: dict[str, Any], **_: Any) -> None:
        params["MaxKeys"] = 2

    fill(client, "J1", 1, objects=5, uploads=3)
    client.meta.events.register("provide-client-params.s3.ListObjectsV2", two_at_a_time, unique_id="two")
    try:
        assert discard_run(client, BUCKET, KIND, "J1", 1) == 8
        assert discard_run(client, BUCKET, KIND, "J1", 1) == 0
    finally:
        client.meta.events.unregister("provide-client-params.s3.ListObjectsV2", unique_id="two")


def test_discard_survives_an_upload_that_another_process_aborted(client: Any) -> None:
    fill(client, "J1", 1)
    racing = Saboteur(client, "abort_multipart_upload", client.exceptions.NoSuchUpload(
        {"Error": {"Code": "NoSuchUpload", "Message": "gone"}}, "AbortMultipartUpload"
    ))  # fmt: skip
    discard_run(racing, BUCKET, KIND, "J1", 1)
    assert discard_run(client, BUCKET, KIND, "J1", 1) == 1


def test_a_failing_discard_says_so(client: Any) -> None:
    with pytest.raises(FileNotWritten, match="InternalError"):
        discard_run(Saboteur(client, "delete_object", refusal("DeleteObject")), BUCKET, KIND, "J1", 1)


def test_an_object_that_s3_refuses_to_delete_once_is_deleted_at_the_next_try(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.clock.pause", lambda longest: None)
    fill(client, "J1", 1)
    with refusing(client, "DeleteObjects", times=1, code="SlowDown"):
        discard_run(client, BUCKET, KIND, "J1", 1)
    assert left_behind(client) == []


def test_objects_that_s3_does_not_delete_are_not_taken_for_deleted(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DeleteObjects answers 200, and names in its answer what it did not delete."""
    monkeypatch.setattr("chalicelib.clock.pause", lambda longest: None)
    fill(client, "J1", 1)
    with (
        refusing(client, "DeleteObjects", code="AccessDenied") as refuser,
        pytest.raises(FileNotWritten, match="AccessDenied"),
    ):
        discard_job(client, BUCKET, KIND, "J1")
    assert refuser.calls == [3, 1, 1, 1]
    assert len(left_behind(client)) == 1
