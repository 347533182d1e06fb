"""Secrets Manager. Secrets go in through the API and come out only to open a source."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.aws.clients import client
from chalicelib.settings import settings


def source_name(source_id: str) -> str:
    return f"{settings().secrets}/sources/{source_id}"


# The label of the version that was added last. Versions of earlier code have `AWSCURRENT`, which no later one takes
# over: a record of that time, which names no version, must not get the password of another address.
ADDED = "CARILLON_ADDED"


def version_name(revision: int, unique: str) -> str:
    """The name of the version for a revision of a record. `unique` tells apart two edits that meet: of their versions
    the record names only the winner's. AWS wants 32 to 64 characters of it.
    """
    digest = hashlib.sha256(unique.encode()).hexdigest()
    return f"revision-{revision}-{digest}"[:64]


def add(name: str, version: str, secret: dict[str, Any]) -> None:
    """Add a version to a secret, and make the secret where there is none. No other version changes; repeating it
    changes nothing.
    """
    service = client("secretsmanager")
    try:
        # Without a value: the emulator gives the first one a version of its own choice.
        service.create_secret(Name=name)
    except ClientError as error:
        if _code(error) != "ResourceExistsException":
            raise
    service.put_secret_value(
        SecretId=name, ClientRequestToken=version, SecretString=json.dumps(secret), VersionStages=[ADDED]
    )


def get(name: str, version: str | None) -> dict[str, Any]:
    """A version of the secret, or an empty mapping where there is none. None: that of a record of earlier code."""
    wanted = {} if version is None else {"VersionId": version}
    try:
        answer = client("secretsmanager").get_secret_value(SecretId=name, **wanted)
    except ClientError as error:
        if _code(error) != "ResourceNotFoundException":
            raise
        return {}
    found: dict[str, Any] = json.loads(answer["SecretString"])
    return found


def delete(name: str) -> None:
    """Remove a secret at once and for good; it need not exist."""
    try:
        client("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    except ClientError as error:
        if _code(error) != "ResourceNotFoundException":
            raise


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
