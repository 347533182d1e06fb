from tests.support.postgres import postgres_fixture  # noqa: F401
