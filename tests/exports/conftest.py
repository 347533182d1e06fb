from tests.support.postgres import postgres_fixture  # noqa: F401
from tests.support.s3 import client  # noqa: F401
