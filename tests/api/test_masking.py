from __future__ import annotations

from typing import Any

import pytest

from chalicelib import log
from chalicelib.errors import Invalid
from chalicelib.masking import masked
from chalicelib.paging import PAGE_SIZES, Page, check, cut


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"password": "x"}, {"password": "***"}),
        ({"Password": "x", "user": "u"}, {"Password": "***", "user": "u"}),
        ({"settings": {"client_secret": "x"}}, {"settings": {"client_secret": "***"}}),
        ({"items": [{"credentials": {"a": 1}}]}, {"items": [{"credentials": "***"}]}),
        ({"password": None}, {"password": None}),  # that there is none is no secret
        ({"has_secret": True}, {"has_secret": True}),
        ("password", "password"),
    ],
)
def test_a_field_named_like_a_secret_is_masked(given: Any, shown: Any) -> None:
    assert masked(given) == shown


def test_a_log_line_is_json_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.event("Two\nlines", password="hunter2", job_id="j-1", name="张伟")
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert "hunter2" not in line
    assert '"job_id":"j-1"' in line
    assert "张伟" in line


def test_a_list_is_cut_into_pages() -> None:
    found = cut(range(25), page=3, page_size=10)
    assert (list(found.items), found.total, found.pages) == ([20, 21, 22, 23, 24], 25, 3)
    assert list(cut(range(25), page=4, page_size=10).items) == []
    assert Page([], 1, 10, 0).pages == 0


@pytest.mark.parametrize(("page", "size", "field"), [(1, 7, "page_size"), (0, 10, "page"), (1, 0, "page_size")])
def test_an_invalid_page_is_refused(page: int, size: int, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check(page, size)
    assert refused.value.field == field


def test_every_page_size_is_accepted() -> None:
    for size in PAGE_SIZES:
        check(1, size)
