from tests.support.s3 import client  # noqa: F401
