"""moto without what it does for others: each of these takes more time than what the tests are about.

Importing this module changes moto for the whole process. moto's version is pinned, and nothing here changes an answer.
"""

from __future__ import annotations

from typing import Any

from botocore.model import Shape
from moto.core import models
from moto.core.serialize import ResponseSerializer

# Nothing here calls AWS but through botocore: moto need not stand behind `requests` too, which takes 1,300 patches.
models.RESPONSES_METHODS.clear()

_look_everywhere = ResponseSerializer.get_value


def _get_value(self: ResponseSerializer, value: Any, key: str, shape: Shape) -> Any:
    """moto looks for each of the ten types of a DynamoDB value under eight names, in a dict that knows just one."""
    if type(value) is dict and shape.parent.name == "AttributeValue":
        return value.get(key)
    return _look_everywhere(self, value, key, shape)


ResponseSerializer.get_value = _get_value
