"""The text of expressions: what is read, what is refused, and the form that is stored."""

from __future__ import annotations

import random

import pytest

from chalicelib.core.schedules.cron import canonical, parse
from chalicelib.errors import InvalidSchedule
from tests.core.schedules.expressions import known


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("0 9 * * MON-FRI", "0 9 * * 1-5"),
        ("0 9 * * mon-fri", "0 9 * * 1-5"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 * * 5-7", "0 0 * * 0,5,6"),  # Friday to Sunday
        ("0 0 * * sat-tue", "0 0 * * 0-2,6"),  # a range that wraps
        ("0 0 * jan,JUL *", "0 0 * 1,7 *"),
        ("00 08 01 01 *", "0 8 1 1 *"),
        ("0  9\t* * *", "0 9 * * *"),
        ("0 0 9 * * *", "0 9 * * *"),  # seconds that say nothing
        ("30 0 9 * * *", "30 0 9 * * *"),
        ("0 0 9 * * * *", "0 9 * * *"),
        ("0 0 9 * * * 2027", "0 0 9 * * * 2027"),
        ("*/1 * * * *", "* * * * *"),
        ("0 0 ? * ?", "0 0 * * *"),
        ("5-5 * * * *", "5 * * * *"),  # one value, not every minute
        ("0 9 * * 1-1", "0 9 * * 1"),
        ("5-5/3 * * * *", "5 * * * *"),
        ("0 23-3/2 * * *", "0 1,3,23 * * *"),  # 23, 1, 3: counted along the wrapped sequence
        ("10/20 * * * *", "10-50/20 * * * *"),  # to the end of the field
        ("0 0 * * 1/2", "0 0 * * 1-5/2"),
        ("1,2,3,2,1 * * * *", "1-3 * * * *"),
        # A leading star means more than "all" for minutes, hours and days: it stays, and is never invented.
        ("*/20,5 * * * *", "*/20,5 * * * *"),
        ("0-59 0-23 * * *", "0-59 0-23 * * *"),
        ("0 0 */2 * 1", "0 0 */2 * 1"),
        ("0 0 1-31 * 1", "0 0 1-31 * 1"),
        ("0 0 * 1-12 0-6", "0 0 * * 0-6"),
        ("*/90 * * * *", "*/60 * * * *"),  # only minute 0, but still starred
        ("0 0 LW,L,15w,1,l-3 * *", "0 0 1,15W,L-3,L,LW * *"),
        ("0 0 * * FRIL,1#2", "0 0 * * 1#2,5L"),
        ("0 0 * * 7#1", "0 0 * * 0#1"),
        ("@daily", "0 0 * * *"),
        ("@Midnight", "0 0 * * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@hourly", "0 * * * *"),
    ],
)
def test_the_canonical_form(text: str, stored: str):
    assert canonical(text) == stored
    assert canonical(stored) == stored


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "* * * *",  # four fields
        "* * * * * * * *",  # eight
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * 0 *",
        "* * * * 8",
        "0 0 0 1 1 * 1969",
        "0 0 0 1 1 * 2200",
        "0 0 0 1 1 * 2030-2020",  # years do not wrap
        "*/0 * * * *",
        "5-10/0 * * * *",
        "*/x * * * *",
        "*/ * * * *",
        "*/-1 * * * *",
        "-5 * * * *",
        "5- * * * *",
        "1,,2 * * * *",
        ",1 * * * *",
        "1-2-3 * * * *",
        "1/2/3 * * * *",
        "1.5 * * * *",
        "+5 * * * *",
        "*5 * * * *",
        "? * * * *",  # only days may be unspecified
        "* ? * * *",
        "* * ?/2 * *",
        "* * * MONDAY *",
        "* * * * JAN",
        "* * JAN * *",
        "L * * * *",
        "* * L-31 * *",
        "* * 32W * *",
        "* * 0W * *",
        "* * W * *",
        "* * 1-5W * *",
        "* * 1#2 * *",
        "* * * * 1#0",
        "* * * * 1#6",
        "* * * * #1",
        "* * * * L",  # Saturday to some, a bare letter to others
        "* * * * 8L",
        "* * * * 15W",
        "@reboot",
        "@every 5m",
        "H * * * *",
        "*\n* * * *",
        "* * * * ٣",  # a digit to str.isdigit, not to cron
        "٣ * * * *",
        "* * * * *\u00a0",
        "1" + ",1" * 200 + " * * * *",  # too long
        "99999 * * * *",
    ],
)
def test_bad_text_is_refused_with_the_field(text: str):
    with pytest.raises(InvalidSchedule) as refusal:
        parse(text)

    assert refusal.value.field == "schedule.expression"


@pytest.mark.parametrize("value", [None, 5, ["* * * * *"], b"* * * * *"])
def test_only_text_is_an_expression(value: object):
    with pytest.raises((InvalidSchedule, TypeError)):
        parse(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("0 0 13 * 5", "or"),
        ("0 0 1-31 * 5", "or"),  # a restriction in text, though every day meets it
        ("0 0 */2 * 5", "and"),  # Debian's rule
        ("0 0 13 * */2", "and"),
        ("0 0 13 * *", None),
        ("0 0 ? * 5", None),
        ("0 0 * * *", None),
    ],
)
def test_how_days_combine(text: str, rule: str | None):
    assert parse(text).day_rule == rule


@pytest.mark.parametrize("seed", range(200))
def test_the_canonical_form_is_idempotent_and_keeps_the_values(seed: int):
    expression = known(random.Random(seed))

    stored = canonical(expression.text)

    assert canonical(stored) == stored
    assert parse(stored).minute.values == expression.minutes
    assert parse(stored).hour.values == expression.hours
    assert parse(stored).wild == expression.wild
    assert parse(stored).day_rule == parse(expression.text).day_rule
