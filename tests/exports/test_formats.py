"""The formats of files."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from chalicelib.exports.compression import Compression
from chalicelib.exports.formats.registry import DEFAULT, FORMATS, format_of
from chalicelib.kinds.report_export.spec import ReportExportSpec


@pytest.mark.parametrize("name", FORMATS)
def test_a_spec_takes_every_format_and_its_files_end_with_the_formats_extension(name: str) -> None:
    spec = ReportExportSpec.model_validate({"report_id": "R", "format": name, "compression": "gzip"})
    assert spec.extension == format_of(name).extension + Compression.GZIP.extension
    assert format_of(name).extension.startswith(".")
    assert "/" in format_of(name).content_type


def test_a_spec_takes_no_other_format_and_has_one_by_default() -> None:
    assert ReportExportSpec(report_id="R").format == DEFAULT
    with pytest.raises(ValidationError, match="Input should be"):
        ReportExportSpec.model_validate({"report_id": "R", "format": "papyrus"})
