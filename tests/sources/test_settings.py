"""What a source's settings may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chalicelib.errors import Invalid
from chalicelib.sources.registry import SOURCES, address_of, check_settings
from tests.support.certificates import authority

KEY = authority().server("db.example").key
POSTGRES = {"host": "db.example", "database": "sales", "user": "reader"}


def test_postgres_settings_get_their_defaults() -> None:
    assert check_settings("postgres", POSTGRES) == {
        **POSTGRES,
        "port": 5432,
        "sslmode": "verify-full",
        "ca_certificate": None,
        "allow_superuser": False,
        "connect_timeout": 10,
        "read_timeout": None,
        "cancel_timeout": 3,
        "search_path": "",
        "show_values": False,
        "timezone": "UTC",
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"host": ""}, "settings.host"),
        ({"host": "a,b"}, "settings.host"),  # libpq would try both
        ({"host": "/var/run/postgresql"}, "settings.host"),  # a socket of this machine
        ({"host": "a\x00b"}, "settings.host"),
        ({"host": "169.254.169.254"}, "settings.host"),
        ({"host": "::ffff:169.254.169.254"}, "settings.host"),
        ({"host": "2130706433"}, "settings.host"),  # 127.0.0.1 in a form that hides it
        ({"user": "a\x00b"}, "settings.user"),
        ({"port": 0}, "settings.port"),
        ({"port": "many"}, "settings.port"),
        ({"database": ""}, "settings.database"),
        ({"sslmode": "perhaps"}, "settings.sslmode"),
        ({"sslmode": "prefer"}, "settings.sslmode"),  # it would send the password in clear to a server that asks
        ({"sslmode": "verify-ca"}, "settings"),  # of the public authorities, each signs for every host
        ({"ca_certificate": "a certificate"}, "settings.ca_certificate"),
        ({"ca_certificate": KEY}, "settings.ca_certificate"),
        ({"allow_superuser": "yes"}, "settings.allow_superuser"),
        ({"connect_timeout": 0}, "settings.connect_timeout"),  # libpq would wait for ever
        ({"read_timeout": 0}, "settings.read_timeout"),
        ({"cancel_timeout": 11}, "settings.cancel_timeout"),  # a run ends within seconds of a cancel
        ({"timezone": "Mars/Olympus"}, "settings.timezone"),
        ({"password": "hunter2"}, "settings.password"),
    ],
)
def test_a_wrong_postgres_setting_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_settings("postgres", POSTGRES | change)
    assert [problem.field for problem in refused.value.problems] == [field]
    assert "hunter2" not in str(refused.value.problems)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(Invalid, match="'oracle'") as refused:
        check_settings("oracle", {})
    assert refused.value.field == "kind"


def test_every_kind_of_the_registry_can_be_made() -> None:
    for kind in SOURCES:
        with pytest.raises(Invalid) as refused:
            check_settings(kind, {})
        assert refused.value.field is not None
        assert refused.value.field.startswith("settings.")


@pytest.mark.parametrize(
    "path", ["../a.db", "/etc/passwd", "x/../../a.db", "", " ", "link.db", "folder/a.db", "a\x00.db"]
)
def test_a_sqlite_path_stays_inside_the_data_folder(path: str, tmp_path: Path) -> None:
    data, outside = tmp_path / "data", tmp_path / "outside"
    data.mkdir()
    outside.mkdir()
    (data / "link.db").symlink_to(outside / "a.db")
    (data / "folder").symlink_to(outside)
    with pytest.raises(Invalid) as refused:
        check_settings("sqlite", {"path": path}, data_folder=data)
    assert refused.value.field == "settings.path"


def test_a_sqlite_path_may_lead_through_folders(tmp_path: Path) -> None:
    found = check_settings("sqlite", {"path": "shop/sales.db"}, data_folder=str(tmp_path))
    assert found == {"path": "shop/sales.db", "datetime_format": "text", "show_values": False}


def test_a_stage_without_a_data_folder_has_no_sqlite_sources() -> None:
    with pytest.raises(Invalid, match="cannot be accepted") as refused:
        check_settings("sqlite", {"path": "a.db"})
    assert "no data folder" in refused.value.problems[0].message


def test_a_stored_source_whose_kind_is_gone_has_an_address_of_its_own() -> None:
    assert address_of("oracle", POSTGRES) != address_of("postgres", POSTGRES)


@pytest.mark.parametrize(
    "change",
    [
        {"host": "other.example"},
        {"port": 5433},
        {"database": "archive"},
        {"user": "writer"},
        {"sslmode": "require"},
        {"ca_certificate": "another"},
    ],
)
def test_where_the_password_goes_is_the_address(change: dict[str, Any]) -> None:
    assert address_of("postgres", POSTGRES) != address_of("postgres", POSTGRES | change)
    assert address_of("postgres", POSTGRES) == address_of("postgres", POSTGRES | {"timezone": "Europe/Paris"})
