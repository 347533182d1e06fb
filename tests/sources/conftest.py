from tests.postgres import postgres_fixture  # noqa: F401
