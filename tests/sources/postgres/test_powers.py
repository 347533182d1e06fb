"""Read-only means it: who may go around a read-only session is told, and a superuser is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.errors import RunError, SourceRefused
from chalicelib.sources.protocol import Query, SourceInfo
from tests.support.postgres import PostgresServer
from tests.support.postgres_source import a_role, export, opened

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "tasks.md"


@pytest.fixture
def role(database: PostgresServer) -> Iterator[str]:
    with a_role(database) as name:
        yield name


def info_of(database: PostgresServer, user: str) -> SourceInfo:
    with opened(database, settings={"user": user, "allow_superuser": False}) as source:
        return source.test()


def test_a_role_that_only_reads_has_no_powers(database: PostgresServer, role: str) -> None:
    info = info_of(database, role)
    assert (info.read_only, info.powers) == (True, ())


def test_a_superuser_is_refused_wherever_it_is_used(database: PostgresServer) -> None:
    query = Query("q", "SELECT 1 AS a")
    with opened(database, settings={"allow_superuser": False}) as source:
        for use in (source.test, lambda: source.preview(query, 1), lambda: export(source, query.sql)):
            with pytest.raises(SourceRefused, match="superuser") as refused:
                use()  # type: ignore[no-untyped-call]
            assert refused.value.field == "settings.user"
            assert refused.value.permanent


def test_a_superuser_that_the_source_allows_is_told_and_not_called_read_only(database: PostgresServer) -> None:
    with opened(database, settings={"allow_superuser": True}) as source:
        info = source.test()
    assert not info.read_only
    assert "superuser" in info.powers
    assert any("superuser" in warning for warning in info.warnings)


def test_a_member_of_a_superusers_role_is_refused_too(database: PostgresServer, role: str) -> None:
    database.run(f'GRANT "{database.user}" TO "{role}"')
    with pytest.raises(SourceRefused, match="may become one"):
        info_of(database, role)


@pytest.mark.parametrize("granted", ["pg_read_server_files", "pg_write_server_files", "pg_execute_server_program"])
def test_a_role_of_the_servers_files_is_a_power(database: PostgresServer, role: str, granted: str) -> None:
    database.run(f'GRANT {granted} TO "{role}"')
    info = info_of(database, role)
    assert granted in info.powers
    assert not info.read_only


def test_a_function_that_reads_the_servers_files_is_a_power(database: PostgresServer, role: str) -> None:
    database.run(f'GRANT EXECUTE ON FUNCTION pg_read_file(text) TO "{role}"')
    try:
        assert info_of(database, role).powers == ("pg_read_file()",)
    finally:
        database.run(f'REVOKE EXECUTE ON FUNCTION pg_read_file(text) FROM "{role}"')


def test_dblink_within_reach_is_a_power(database: PostgresServer, role: str) -> None:
    database.run("CREATE EXTENSION IF NOT EXISTS dblink")
    try:
        info = info_of(database, role)
        assert info.powers == ("dblink",)
        assert not info.read_only
        for (function,) in database.run("SELECT oid::regprocedure FROM pg_proc WHERE proname LIKE 'dblink%'"):
            database.run(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
        assert info_of(database, role).powers == ()
    finally:
        database.run("DROP EXTENSION dblink CASCADE")


def test_the_role_of_the_guide_reads_and_does_no_more(database: PostgresServer) -> None:
    """The guide's own SQL makes a role that the source takes without a warning of its powers."""
    database.run("CREATE TABLE IF NOT EXISTS sales (a int)")
    found = re.search(r"```sql\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    assert found is not None
    script = (
        found.group(1)
        .replace("'…'", f"'{database.password}'")
        .replace("DATABASE shop", f'DATABASE "{database.database}"')
    )
    try:
        for statement in filter(None, map(str.strip, script.split(";"))):
            database.run(statement)
        info = info_of(database, "carillon_reader")
        assert (info.read_only, info.powers) == (True, ())
        with opened(database, settings={"user": "carillon_reader", "allow_superuser": False}) as source:
            assert export(source, "SELECT count(*) AS n FROM sales") == b"n\n0\n"
            with pytest.raises(RunError, match="permission denied"):
                export(source, "SELECT pg_read_file('/etc/passwd') AS a")
    finally:
        database.run('DROP OWNED BY "carillon_reader" CASCADE')
        database.run('DROP ROLE "carillon_reader"')
