"""What must never be shown: values under these names are replaced before anything is logged or audited."""

from __future__ import annotations

from typing import Any

MASK = "***"
# A key that contains one of these holds a secret, or a link that is as good as one.
SECRET_WORDS = ("password", "secret", "credential", "authorization", "private_key", "presigned", "url_signed")


def masked(value: Any) -> Any:
    """A copy of a JSON value in which everything under a secret's name is `***`."""
    if isinstance(value, dict):
        return {key: MASK if _secret(key) and item is not None else masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    return value


def _secret(key: object) -> bool:
    # `has_secret` tells whether there is one, not which.
    name = str(key).lower()
    return not name.startswith("has_") and any(word in name for word in SECRET_WORDS)
