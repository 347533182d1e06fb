"""A whole cron expression: parsed, and written in canonical form.

`m h dom mon dow`; with six fields the seconds come first, with seven the year comes last. `cron_dates.py` finds its
dates and `day_times.py` its times of day. They become instants in `dst.py`; this module knows no zones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache

from chalicelib.core.schedules.cron_dates import CronDates
from chalicelib.core.schedules.cron_fields import (
    DAY_OF_MONTH,
    DAY_OF_WEEK,
    HOUR,
    MINUTE,
    MONTH,
    SECOND,
    YEAR,
    Field,
    FieldKind,
    parse_field,
    refuse,
)
from chalicelib.core.schedules.day_times import times_of_day

MAX_LENGTH = 256
# A schedule without a fire in so many years is refused. 29 February on a given weekday can take 40.
HORIZON_YEARS = 60

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True)
class Expression:
    """A parsed expression; its text is the canonical form."""

    second: Field
    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field
    year: Field

    def __str__(self) -> str:
        """The canonical text, with the fewest fields that keep the meaning."""
        fields = [self.minute, self.hour, self.day, self.month, self.weekday]
        if not self.year.full:
            fields = [self.second, *fields, self.year]
        elif self.second.values != {0}:
            fields = [self.second, *fields]
        return " ".join(map(str, fields))

    @property
    def wild(self) -> bool:
        """Whether the minute or hour text starts with `*`: `dst.py` treats such a schedule differently."""
        return self.minute.starred or self.hour.starred

    @property
    def day_rule(self) -> str | None:
        """How day of month and weekday combine when both are restricted: "or", "and" (Debian's rule); else None.

        As in Debian's cron the text counts: `1-31` is a restriction, although all days meet it.
        """
        if any(field.starred and field.full for field in (self.day, self.weekday)):
            return None
        return "and" if self.day.starred or self.weekday.starred else "or"

    @property
    def times(self) -> Sequence[int]:
        """The seconds of a day at which it fires, ascending."""
        return times_of_day(self.hour.values, self.minute.values, self.second.values)

    def dates(self, first: date) -> Iterator[date]:
        """The dates on which it fires, from `first` on, ascending."""
        return self._dates.dates(first)

    def dates_back(self, last: date) -> Iterator[date]:
        """The dates on which it fires, from `last` back, descending."""
        return self._dates.dates_back(last)

    @cached_property
    def _dates(self) -> CronDates:
        return CronDates(self.day, self.month, self.weekday, self.year, both=self.day_rule != "or")


@lru_cache(maxsize=1024)
def parse(text: str) -> Expression:
    """Parse an expression of 5, 6 or 7 fields, or a macro; InvalidSchedule says what is wrong."""
    if not isinstance(text, str) or not text.strip():
        raise refuse("A cron expression is needed.")
    if len(text) > MAX_LENGTH:
        raise refuse(f"A cron expression has at most {MAX_LENGTH} characters.")
    if not text.isascii() or not text.replace("\t", " ").isprintable():
        raise refuse("A cron expression is plain ASCII.")
    text = text.strip()
    if text.startswith("@"):
        if text.lower() not in MACROS:
            raise refuse(f"{text!r} is not one of {', '.join(MACROS)}.")
        text = MACROS[text.lower()]
    parts = text.split()
    if len(parts) == 5:
        parts = ["0", *parts, "*"]
    elif len(parts) == 6:
        parts = [*parts, "*"]
    elif len(parts) != 7:
        raise refuse(
            f"A cron expression has 5 fields, 6 with seconds first, or 7 with the year last; this one has {len(parts)}."
        )
    kinds: list[FieldKind] = [SECOND, MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK, YEAR]
    return Expression(*(parse_field(part, kind) for part, kind in zip(parts, kinds, strict=True)))


def canonical(text: str) -> str:
    """The form that is stored and shown: same meaning, fewest fields, idempotent."""
    return str(parse(text))
