"""`toy` put together with this stage's tables and bucket."""

from __future__ import annotations

from chalicelib.settings import settings
from chalicelib.storage.bucket import s3
from chalicelib.store import catalogue
from tests.support.toy_kind.kind import Ports, Toy


def toy() -> Toy:
    """The kind, ready to run in this process."""
    return Toy(Ports(lambda source_id: catalogue.get_source(source_id).attribute_values, s3, settings().bucket))
