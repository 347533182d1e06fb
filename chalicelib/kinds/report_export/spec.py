"""What a task of kind `report_export` says, and what the kind reads of a report and a source."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from chalicelib.exports.compression import Compression
from chalicelib.exports.formats import registry as formats
from chalicelib.sources.csv_options import CsvOptions
from chalicelib.sources.parameters import Parameter

if TYPE_CHECKING:
    FormatName = str
else:
    FormatName = Literal[tuple(formats.FORMATS)]

DEFAULT_NAME = "{task}-{scheduled_for:%Y%m%d-%H%M%S}"
DEFAULT_NAME_WITH_WINDOW = "{task}-{window_start:%Y%m%d}"


class IfEmpty(StrEnum):
    """What a query without rows means."""

    PUBLISH = "publish"  # a file that has the header only
    FAIL = "fail"  # an error, tried again


class ReportExportSpec(BaseModel):
    """What a task of this kind says. `parameters` are values for the report's; a start by hand may override them."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"report_id": "01JNB3Q4T0Z5W8H2C7XKD9V6RM", "compression": "gzip"}]},
    )

    report_id: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
    format: FormatName = formats.DEFAULT
    compression: Compression = Compression.NONE
    file_name: Annotated[str, StringConstraints(max_length=200)] = ""
    csv: CsvOptions = CsvOptions()
    parameters: dict[str, Any] = Field(default_factory=dict)
    if_empty: IfEmpty = IfEmpty.PUBLISH

    @property
    def options(self) -> Any:
        """The options of the format: the field of its name; None for a format without one."""
        return getattr(self, self.format, None)

    @property
    def extension(self) -> str:
        return formats.format_of(self.format).extension + self.compression.extension

    def template(self, *, has_window: bool, many: bool) -> str:
        """The template of the file name, without the ending. An empty one becomes the default. Where several files
        would share a name, the query's name is added.
        """
        found = self.file_name.strip() or (DEFAULT_NAME_WITH_WINDOW if has_window else DEFAULT_NAME)
        # The file gets the ending that says what is in it, in place of the one that was written.
        found = found.removesuffix(Compression.GZIP.extension).removesuffix(formats.format_of(self.format).extension)
        return found + "-{query}" if many and "{query}" not in found else found


class NamedQuery(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    sql: str


class Report(BaseModel):
    """What this kind reads of a report."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    revision: int | None = None
    source_id: str
    queries: tuple[NamedQuery, ...]
    parameters: tuple[Parameter, ...] = ()


class SourceRecord(BaseModel):
    """What this kind reads of a source."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    kind: str
    settings: dict[str, Any]
    has_secret: bool = True
    # Which version of the source's secret goes with these settings.
    secret_version: str | None = None
