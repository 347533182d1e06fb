"""moto and botocore without work that no test looks at: each item here takes more time than what the tests are about.

Importing this module changes both for the whole process. Their versions are pinned, and nothing here changes an answer.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from botocore.model import Shape
from botocore.useragent import UserAgentString
from moto.core import models, responses
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

# moto lists the methods of a service's class anew for each call.
responses.method_names_from_class = cache(responses.method_names_from_class)

# botocore puts the name of its caller together anew for each call.
UserAgentString.to_string = lambda self: "tests"
