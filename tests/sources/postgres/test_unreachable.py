"""What a source's test tells of a network that it should not be used to look around in."""

from __future__ import annotations

import pytest

from chalicelib.errors import SourceUnreachable
from tests.support.postgres import PostgresServer, free_port
from tests.support.postgres_source import opened
from tests.support.proxy import Proxy

# What services of other protocols say to a client of PostgreSQL, and one that says nothing.
GREETINGS = [
    b"",
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"-ERR unknown command\r\n",
    b"S",
    b"\x15\x03\x01\x00\x02\x02\x0a",
    b"220 mail ESMTP\r\n",
]


def told(database: PostgresServer, port: int, sslmode: str) -> str:
    settings = {"port": port, "sslmode": sslmode, "connect_timeout": 2}
    with opened(database, settings=settings) as source, pytest.raises(SourceUnreachable) as failed:
        source.test()
    assert failed.value.field is None
    return failed.value.message.replace(str(port), "PORT")


@pytest.mark.parametrize("sslmode", ["verify-full", "require", "disable"])
def test_refused_timed_out_and_invalid_answers_read_the_same(
    database: PostgresServer, sslmode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = {told(database, free_port(), sslmode)}
    for greeting in GREETINGS:
        with Proxy(None, greeting=greeting) as proxy:
            messages.add(told(database, proxy.port, sslmode))
    assert messages == {"The database at 127.0.0.1:PORT cannot be reached."}
    assert "Connection refused" in capsys.readouterr().out, "the stage's operator reads it in the log"


def test_a_name_without_an_address_reads_the_same(database: PostgresServer) -> None:
    settings = {"host": "no-such-host.invalid"}
    with opened(database, settings=settings) as source, pytest.raises(SourceUnreachable) as failed:
        source.test()
    assert failed.value.message == f"The database at no-such-host.invalid:{database.port} cannot be reached."
