"""The manifest: what each file of a run is, its rows, its bytes and where they came from. It is the last object that a
run writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Self

from chalicelib.core.instants import rfc3339
from chalicelib.exports.compression import Compression

VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """One file. `bytes` and `sha256` are those of the object as it lies in S3; instants are aware."""

    file_name: str
    key: str
    format: str
    compression: Compression
    rows: int
    bytes: int
    uncompressed_bytes: int
    sha256: str
    columns: tuple[Mapping[str, str], ...]
    query: str
    source_id: str
    source_name: str
    window_start: datetime | None
    window_end: datetime | None
    started_at: datetime
    finished_at: datetime
    # How the connection to the source was protected: `verified`, `unverified` or `none` (sources/protocol.py). Without
    # TLS, what was changed on the way is in the file. None: no network, or a manifest of earlier code.
    source_tls: str | None = None
    # Whether a limit cut the result. Exports have none.
    truncated: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON values only."""
        found = asdict(self)
        for name, value in found.items():
            if isinstance(value, datetime):
                found[name] = rfc3339(value)
        found["compression"] = self.compression.value
        found["columns"] = [dict(column) for column in self.columns]
        return found

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Self:
        """The reverse of `as_dict`. It leaves out names that it does not know: a later version may have added them."""
        known = {field.name: found[field.name] for field in fields(cls) if field.name in found}
        for name in ("window_start", "window_end", "started_at", "finished_at"):
            known[name] = _instant(known.get(name))
        known["compression"] = Compression(known["compression"])
        known["columns"] = tuple(known["columns"])
        return cls(**known)


def dump(job_id: str, run_no: int, files: Sequence[Manifest]) -> bytes:
    """The manifest object of a run."""
    content = {"version": VERSION, "job_id": job_id, "run_no": run_no, "files": [file.as_dict() for file in files]}
    return json.dumps(content, ensure_ascii=False, indent=1).encode()


def load(content: bytes) -> list[Manifest]:
    return [Manifest.from_dict(file) for file in json.loads(content)["files"]]


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
