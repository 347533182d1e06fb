"""A shelf: every query gives its toys, one row each. What a source has to do, and no database."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from chalicelib.errors import SourceRefused
from chalicelib.sources.blocks import BlockWriter
from chalicelib.sources.csv_options import CsvOptions
from chalicelib.sources.protocol import Column, Preview, Query, Sink, SourceInfo
from chalicelib.sources.sql import parse_reading
from chalicelib.sources.sql_tokens import Dialect
from chalicelib.sources.stopping import Stopping

DIALECT = Dialect(other_parameters="?")
COLUMNS = (Column("number", "int"), Column("toy", "text"))


class ToySettings(BaseModel):
    """Where the shelf stands and what is on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    room: Annotated[str, Field(min_length=1, max_length=50)]
    toys: Annotated[int, Field(ge=0, le=1_000)] = 3
    sort: Literal["bear", "kite"] = "bear"


class ToySource:
    Settings = ToySettings
    dialect = DIALECT
    address = ("room",)

    def __init__(
        self,
        settings: ToySettings,
        secret: str | None,
        *,
        data_folder: str | Path | None = None,
        statement_timeout_seconds: float | None = None,
        application_name: str = "carillon",
    ) -> None:
        self._settings = settings
        self._secret = secret
        self._stopping = Stopping(lambda seconds: True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        pass

    def cancel(self) -> None:
        self._stopping.stop()

    def test(self) -> SourceInfo:
        if self._secret == "wrong":
            raise SourceRefused("The room is locked.")
        return SourceInfo("Shelf", "1.0", self._settings.room, read_only=True)

    def describe(self, query: Query) -> tuple[Column, ...]:
        parse_reading(query.sql, DIALECT, query.name).need_values(query.values, query.name)
        return COLUMNS

    def preview(self, query: Query, limit: int) -> Preview:
        columns = self.describe(query)
        rows: list[list[str | None]] = [[str(number), toy] for number, toy in self._rows()]
        return Preview(columns, rows[:limit], len(rows) > limit)

    def export_csv(self, query: Query, options: CsvOptions, sink: Sink) -> int:
        columns = self.describe(query)
        blocks = BlockWriter(sink, options.prologue([column.name for column in columns]))
        rows = self._rows()
        with self._stopping.interruptible():
            for number, toy in rows:
                blocks.write(f"{number}{options.delimiter}{toy}".encode() + options.line_end.bytes)
        blocks.hand_on_last()
        return len(rows)

    def _rows(self) -> list[tuple[int, Any]]:
        return [(number, f"{self._settings.sort} {number}") for number in range(1, self._settings.toys + 1)]
