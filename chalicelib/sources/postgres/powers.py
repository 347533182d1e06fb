"""What a role may do that a read-only session does not hold: read the server's files, write through functions."""

from __future__ import annotations

from typing import Any

from chalicelib.errors import SourceRefused
from chalicelib.sources.postgres.settings import PostgresSettings

SUPERUSER = "superuser"
# Roles of the server and of the clouds that give more than reading tables.
_ROLES = (
    "pg_read_server_files", "pg_write_server_files", "pg_execute_server_program", "pg_write_all_data",
    "pg_signal_backend", "pg_create_subscription", "pg_maintain", "pg_checkpoint",
    "rds_superuser", "cloudsqlsuperuser", "azure_pg_admin",
)  # fmt: skip
# Extensions whose functions connect to other servers, or to this one again, where they may write; and the functions
# that read and write the server's files.
_EXTENSIONS = ("dblink", "postgres_fdw", "file_fdw", "adminpack", "aws_s3", "aws_lambda", "plpython3u", "plperlu")
_FILE_FUNCTIONS = ("pg_read_file", "pg_read_binary_file", "pg_ls_dir", "lo_import", "lo_export", "pg_file_write")

# The session's user, not the current one: a query can take up any role that its user is a member of.
_SUPERUSER_SQL = (
    "SELECT coalesce(pg_catalog.bool_or(rolsuper), false) FROM pg_catalog.pg_roles "
    "WHERE pg_catalog.pg_has_role(session_user, oid, 'MEMBER')"
)
_POWERS_SQL = """
SELECT rolname FROM pg_catalog.pg_roles
WHERE rolname = ANY (%(roles)s) AND pg_catalog.pg_has_role(session_user, oid, 'MEMBER')
UNION
SELECT 'replication' FROM pg_catalog.pg_roles
WHERE rolreplication AND pg_catalog.pg_has_role(session_user, oid, 'MEMBER')
UNION
SELECT e.extname FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_depend AS d ON d.refobjid = e.oid AND d.refclassid = 'pg_catalog.pg_extension'::regclass
    AND d.classid = 'pg_catalog.pg_proc'::regclass AND d.deptype = 'e'
JOIN pg_catalog.pg_proc AS p ON p.oid = d.objid
WHERE e.extname = ANY (%(extensions)s)
    AND pg_catalog.has_function_privilege(session_user, p.oid, 'EXECUTE')
    AND pg_catalog.has_schema_privilege(session_user, p.pronamespace, 'USAGE')
UNION
SELECT p.proname || '()' FROM pg_catalog.pg_proc AS p
WHERE p.proname = ANY (%(functions)s) AND p.pronamespace = 'pg_catalog'::regnamespace
    AND pg_catalog.has_function_privilege(session_user, p.oid, 'EXECUTE')
ORDER BY 1
"""


def is_superuser(cursor: Any) -> bool:
    """Whether the session's user is a superuser, or may become one."""
    cursor.execute(_SUPERUSER_SQL)
    (found,) = cursor.fetchone()
    return bool(found)


def powers_of(cursor: Any) -> tuple[str, ...]:
    """What the session's user may do beyond reading tables, by the names that the server has for it."""
    cursor.execute(
        _POWERS_SQL, {"roles": list(_ROLES), "extensions": list(_EXTENSIONS), "functions": list(_FILE_FUNCTIONS)}
    )
    found = tuple(str(name) for (name,) in cursor.fetchall())
    return (SUPERUSER, *found) if is_superuser(cursor) else found


def refuse_superuser(cursor: Any, settings: PostgresSettings) -> None:
    """Raise `SourceRefused` for a superuser, unless the source says that it is allowed one."""
    if not settings.allow_superuser and is_superuser(cursor):
        raise SourceRefused(
            f"User {settings.user!r} is a superuser of the database, or may become one: a read-only session does not "
            "keep it from reading the server's files and from writing through functions. Give a role that may only "
            "read, or set allow_superuser.",
            field="settings.user",
        )
