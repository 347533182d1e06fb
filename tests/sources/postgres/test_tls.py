"""Who is at the other end, before it gets the password."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any, Self

import pytest
from cryptography import x509

from chalicelib.errors import AddressRefused, SourceRefused
from chalicelib.sources import trust
from chalicelib.sources.protocol import Tls
from chalicelib.sources.registry import open_source
from tests.support.certificates import Authority
from tests.support.postgres import PostgresServer
from tests.support.postgres_source import export, opened

STRANGER = Authority("A stranger")


class Eavesdropper:
    """Says no to TLS and asks for the password in clear. `heard` is all that it was sent."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.heard = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client:
                    client.settimeout(5)
                    while data := client.recv(4096):
                        self.heard += data
                        wants_tls = data[4:8] == struct.pack("!I", 80877103)
                        client.sendall(b"N" if wants_tls else b"R" + struct.pack("!II", 8, 3))


@pytest.fixture
def eavesdropper() -> Iterator[Eavesdropper]:
    with Eavesdropper() as stranger:
        yield stranger


# `None`: what a source has that says nothing; `prefer` and `allow`: what stored sources of earlier versions say.
@pytest.mark.parametrize("sslmode", [None, "prefer", "allow", "require", "disable", "verify-full"])
def test_a_server_that_says_no_to_tls_never_gets_the_password(
    eavesdropper: Eavesdropper, servers: None, sslmode: str | None
) -> None:
    settings: dict[str, Any] = {"host": "127.0.0.1", "port": eavesdropper.port, "database": "a", "user": "b"}
    settings |= {} if sslmode is None else {"sslmode": sslmode}
    with open_source("postgres", settings, "hunter2secret") as source, pytest.raises(SourceRefused) as refused:
        source.test()
    assert refused.value.field == "settings.sslmode"
    assert eavesdropper.heard
    assert b"hunter2secret" not in eavesdropper.heard


def test_by_default_the_server_proves_who_it_is(database: PostgresServer) -> None:
    settings = {name: value for name, value in database.safe_settings.items() if name != "sslmode"}
    with open_source("postgres", settings, database.password) as source:
        info = source.test()
        assert info.tls is Tls.VERIFIED
        assert not any("sslmode" in warning for warning in info.warnings)
        assert export(source, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == b"ssl\nt\n"


def test_a_certificate_of_an_unknown_authority_is_refused(database: PostgresServer) -> None:
    for own in (None, STRANGER.certificate):
        settings = {"sslmode": "verify-full", "ca_certificate": own}
        with opened(database, settings=settings) as source, pytest.raises(SourceRefused, match="not trusted") as told:
            source.test()
        assert told.value.field == "settings.sslmode"


def test_a_certificate_of_another_name_is_refused(database: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real("127.0.0.1", *rest, **more))
    settings = {**database.safe_settings, "host": "db.example"}
    with opened(database, settings=settings) as source, pytest.raises(SourceRefused, match="another name"):
        source.test()
    with opened(database, settings=settings | {"sslmode": "verify-ca"}) as source:
        assert source.test().tls is Tls.VERIFIED


@pytest.mark.parametrize(("sslmode", "tls"), [("require", Tls.UNVERIFIED), ("disable", Tls.NONE)])
def test_a_test_says_that_the_server_is_not_checked(database: PostgresServer, sslmode: str, tls: Tls) -> None:
    with opened(database, settings={"sslmode": sslmode}) as source:
        info = source.test()
    assert info.tls is tls
    assert any(f"sslmode {sslmode}" in warning for warning in info.warnings)


def test_a_name_is_resolved_once_and_its_address_checked(
    database: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads elsewhere when it is asked again leads nowhere else."""
    real, asked = socket.getaddrinfo, []

    def resolve(host: str, port: int, *rest: Any, **more: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1" if len(asked) == 1 else "169.254.169.254", port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with opened(database, settings={"host": "db.example"}) as source:
        assert source.test().product == "PostgreSQL"
        source.close()
        with pytest.raises(AddressRefused):
            source.test()
    assert asked == ["db.example", "db.example"]


def test_the_address_at_the_other_end_is_checked_after_connecting(
    database: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.outbound.addresses", lambda host, port, *, private: ["127.0.0.1"])
    monkeypatch.setattr("chalicelib.outbound.allowed", lambda address, *, private: False)
    settings = {**database.settings, "host": "db.example"}
    with open_source("postgres", settings, database.password) as source, pytest.raises(AddressRefused):
        source.test()


# One of the public authorities has a serial number that RFC 5280 does not allow.
@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_the_trusted_certificates_are_those_of_aws_and_of_the_public_authorities() -> None:
    names = {each.subject.rfc4514_string() for each in x509.load_pem_x509_certificates(trust.roots())}
    assert sum("Amazon RDS" in name for name in names) >= 80
    assert any("Amazon RDS eu-central-1 Root CA RSA2048 G1" in name for name in names)
    assert any("ISRG Root X1" in name for name in names)
    assert not any("Beta" in name for name in names)


def test_the_file_of_trusted_certificates_is_this_users_alone() -> None:
    path = trust.trusted_file(STRANGER.certificate)
    assert path.read_text() == STRANGER.certificate
    assert path.parent.stat().st_mode & 0o077 == 0
    assert trust.trusted_file(STRANGER.certificate) == path
    assert trust.trusted_file(None) != path
