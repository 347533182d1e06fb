from tests.exports.conftest import client  # noqa: F401
from tests.postgres import postgres_fixture  # noqa: F401
