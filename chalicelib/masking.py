"""Replaces secrets by `***` before values are logged or audited."""

from __future__ import annotations

from typing import Any

MASK = "***"
# A key that contains one of these words holds a secret, or a link that gives access without one.
SECRET_WORDS = ("password", "secret", "credential", "authorization", "private_key", "presigned", "url_signed")


def masked(value: Any) -> Any:
    """A copy of a JSON value in which the value of every secret key is `***`."""
    if isinstance(value, dict):
        return {key: MASK if _secret(key) and item is not None else masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    return value


def _secret(key: object) -> bool:
    # `has_secret` says that there is a secret, and does not hold it.
    name = str(key).lower()
    return not name.startswith("has_") and any(word in name for word in SECRET_WORDS)
