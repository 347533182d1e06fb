"""Secrets Manager. Secrets go in through the API and come out only to open a source."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.aws.clients import client
from chalicelib.settings import settings


def source_name(source_id: str) -> str:
    return f"{settings().secrets}/sources/{source_id}"


def put(name: str, secret: dict[str, Any]) -> None:
    """Make or replace a secret; repeating it changes nothing."""
    text = json.dumps(secret)
    try:
        client("secretsmanager").create_secret(Name=name, SecretString=text)
    except ClientError as error:
        if _code(error) != "ResourceExistsException":
            raise
        client("secretsmanager").put_secret_value(SecretId=name, SecretString=text)


def get(name: str) -> dict[str, Any]:
    """The secret, or an empty mapping where there is none."""
    try:
        answer = client("secretsmanager").get_secret_value(SecretId=name)
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
