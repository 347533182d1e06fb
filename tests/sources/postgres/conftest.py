from __future__ import annotations

from collections.abc import Iterator

import pytest

from chalicelib.sources.protocol import Source
from tests.support.postgres import PostgresServer
from tests.support.postgres_source import NASTY, opened


@pytest.fixture(scope="package", name="database")
def make_database(postgres: PostgresServer) -> Iterator[PostgresServer]:
    with postgres.fresh_database() as database:
        database.run(NASTY)
        yield database


@pytest.fixture
def source(database: PostgresServer) -> Iterator[Source]:
    with opened(database) as source:
        yield source
