"""One connection: to an address that was checked, over TLS as the source wants it."""

from __future__ import annotations

import re
from typing import Any

from chalicelib import outbound
from chalicelib.errors import RunError, SourceRefused, SourceUnreachable
from chalicelib.log import event
from chalicelib.sources.postgres.errors import message_of
from chalicelib.sources.postgres.settings import PostgresSettings
from chalicelib.sources.protocol import Tls
from chalicelib.sources.trust import trusted_file

# In seconds; libpq takes less for this.
LEAST_CONNECT_TIMEOUT = 2
# Milliseconds until a connection is given up whose other end acknowledges nothing.
TCP_USER_TIMEOUT = 20_000
# Modes in which a stranger may be at the other end. It may prove that the user knows the password, and not ask for it.
_UNVERIFIED = ("require", "disable")
WARNINGS = {
    "require": "The server's identity is not checked (sslmode require): the data may go through a stranger's hands.",
    "disable": "The data goes over the network in clear (sslmode disable).",
}

# What a server says that cannot take the connection now.
_BUSY = ("too many", "remaining connection slots", "starting up", "shutting down", "in recovery")
# What libpq says without a password to send.
_NOTHING_TO_SEND = "no password supplied"
# The setting that a refusal is about, where it is not the password.
_AT_FAULT = {
    re.compile('database "[^"]*" does not exist|permission denied for database'): "settings.database",
    re.compile('role "[^"]*" does not exist|not permitted to log in'): "settings.user",
    re.compile("pg_hba[.]conf"): "settings",
}
_NO_TLS = "server does not support SSL"
_UNTRUSTED = "certificate verify failed"
_OTHER_NAME = "does not match host name"
_IN_CLEAR = "authentication method requirement"


def connected(settings: PostgresSettings, secret: str | None, application_name: str) -> Any:
    """A psycopg2 connection. Raises a `RunError`; no other thread can interrupt it."""
    import psycopg2

    try:
        addresses = outbound.addresses(settings.host, settings.port, private=True)
    except OSError as error:
        raise unreachable(settings, str(error)) from None
    trusted = {} if settings.sslmode in _UNVERIFIED else {"sslrootcert": str(trusted_file(settings.ca_certificate))}
    unverified = {"require_auth": "!password"} if settings.sslmode in _UNVERIFIED else {}
    try:
        connection = psycopg2.connect(
            # The name is what the certificate must say; where to connect is not asked again.
            host=",".join([settings.host] * len(addresses)),
            hostaddr=",".join(addresses),
            port=settings.port,
            dbname=settings.database,
            user=settings.user,
            password=secret or "",
            passfile="/dev/null",
            sslmode=settings.sslmode,
            gssencmode="disable",
            **trusted,
            **unverified,
            connect_timeout=max(LEAST_CONNECT_TIMEOUT, settings.connect_timeout // len(addresses)),
            application_name=application_name,
            client_encoding="UTF8",
            # These notice within a minute that the other end vanished; the system's own take two hours.
            keepalives_idle=20,
            keepalives_interval=10,
            keepalives_count=3,
            tcp_user_timeout=TCP_USER_TIMEOUT,
        )
    except ValueError as error:  # a NUL character in what was stored before it was refused
        message = f"The source's settings or password cannot be sent: {error}"
        raise SourceRefused(message, field="settings") from None
    except psycopg2.OperationalError as error:
        raise connect_error(message_of(error, secret), settings) from None
    return connection


def tls_of(connection: Any, settings: PostgresSettings) -> Tls:
    """How the connection is protected."""
    if not connection.info.ssl_in_use:
        return Tls.NONE
    return Tls.UNVERIFIED if settings.sslmode in _UNVERIFIED else Tls.VERIFIED


def connect_error(message: str, settings: PostgresSettings) -> RunError:
    """`SourceRefused` when a PostgreSQL server refused (`FATAL:`) or cannot be trusted, else `SourceUnreachable`."""
    where = f"{settings.host}:{settings.port}"
    if _NOTHING_TO_SEND in message:
        wanted = f"The database at {where} wants a password for user {settings.user!r}, and the source has none."
        return SourceRefused(wanted, field="password")
    if "FATAL:" in message and not any(words in message for words in _BUSY):
        return SourceRefused(
            f"The database at {where} refused user {settings.user!r} for database {settings.database!r}: {message}",
            field=next((field for words, field in _AT_FAULT.items() if words.search(message)), "password"),
        )
    if "FATAL:" in message:
        return SourceUnreachable(f"The database at {where} cannot be reached: {message}")
    if _NO_TLS in message:
        refusal = "has no TLS (SSL), and the source wants it (sslmode)."
    elif _IN_CLEAR in message:
        refusal = f"wants the password in clear, which sslmode {settings.sslmode} does not allow. Use verify-full."
    elif _OTHER_NAME in message:
        refusal = "has a certificate of another name. Give the host as the certificate has it."
    elif _UNTRUSTED in message:
        refusal = (
            "has a certificate that is not trusted. Give the certificate of the authority that signed it "
            "(ca_certificate), or choose sslmode require, which does not check the server's identity."
        )
    else:
        return unreachable(settings, message)
    return SourceRefused(f"The database at {where} {refusal}", field="settings.sslmode")


def unreachable(settings: PostgresSettings, detail: str) -> SourceUnreachable:
    """One message for no answer, a refusal of the connection and an answer of another protocol: a source's test must
    not tell what listens in the stage's network. The operator of the stage reads the detail in the function's log.
    """
    event("source unreachable", level="WARN", host=settings.host, port=settings.port, detail=detail)
    return SourceUnreachable(f"The database at {settings.host}:{settings.port} cannot be reached.")
