"""How a CSV file is written. The defaults are PostgreSQL's own CSV, plus the guard against formulas."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StrictBool

# One ASCII character that no number, date, name or formula contains, so that few cells need quotes.
DELIMITERS = frozenset(",;|\t:~^!#&")
BOM = b"\xef\xbb\xbf"
# A spreadsheet reads a cell that begins with one of these as a formula (OWASP, "CSV Injection"); one of an East Asian
# language also takes the full-width forms.
ASCII_FORMULA_STARTS = "=+-@\t\r\n"
WIDE_FORMULA_STARTS = "＋－＝＠"
FORMULA_STARTS = ASCII_FORMULA_STARTS + WIDE_FORMULA_STARTS


class LineEnd(StrEnum):
    LF = "lf"
    CRLF = "crlf"

    @property
    def bytes(self) -> bytes:
        return b"\r\n" if self is LineEnd.CRLF else b"\n"


def _delimiter(value: str) -> str:
    if value not in DELIMITERS:
        raise ValueError("the delimiter is one character of , ; | tab : ~ ^ ! # &")
    return value


def _null_text(value: str) -> str:
    if (
        any(sign in DELIMITERS or sign in "\"'\r\n" or not " " <= sign <= "~" or sign.isdigit() for sign in value)
        or len(value) > 20
    ):
        raise ValueError("the text for NULL is up to 20 ASCII characters without digits, delimiters and quotes")
    return value


class CsvOptions(BaseModel):
    """UTF-8 always. With `null_text` empty, NULL is an empty cell and the empty text is `""`.

    `formula_guard` puts a `'` before text cells that a spreadsheet would take for a formula.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    delimiter: Annotated[str, AfterValidator(_delimiter)] = ","
    header: StrictBool = True
    line_end: LineEnd = LineEnd.LF
    bom: StrictBool = False
    null_text: Annotated[str, AfterValidator(_null_text)] = ""
    formula_guard: StrictBool = True

    def prologue(self, names: list[str]) -> bytes:
        """The bytes before the first row: the byte order mark and the header, where the options ask for them."""
        head = BOM if self.bom else b""
        if self.header:
            head += self.delimiter.join(self._cell(name) for name in names).encode() + self.line_end.bytes
        return head

    def _cell(self, text: str) -> str:
        if self.formula_guard and text[:1] in tuple(FORMULA_STARTS):
            text = "'" + text
        if text == self.null_text or any(sign in text for sign in (self.delimiter, '"', "\r", "\n")):
            return '"' + text.replace('"', '""') + '"'
        return text


class LineEnds:
    """Replaces the line ends of a CSV byte stream, except those inside quotes.

    Split at quotation marks, every second piece is inside quotes. A doubled mark makes an empty piece, so the count
    stays right.
    """

    def __init__(self, old: bytes, new: bytes) -> None:
        self._old, self._new = old, new
        self._inside = False

    def convert(self, block: bytes) -> bytes:
        """A block may end anywhere but inside a line end of `old`."""
        if b'"' not in block:
            return block if self._inside else block.replace(self._old, self._new)
        pieces = block.split(b'"')
        first_outside = 1 if self._inside else 0
        pieces[first_outside::2] = [piece.replace(self._old, self._new) for piece in pieces[first_outside::2]]
        self._inside ^= len(pieces) % 2 == 0
        return b'"'.join(pieces)
