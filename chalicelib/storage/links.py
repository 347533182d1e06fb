"""Files in the stage's bucket: presigned links, and the objects of one run."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from chalicelib.aws.clients import client
from chalicelib.settings import settings


def s3() -> Any:
    return client("s3")


def link(key: str, *, file_name: str, seconds: int) -> str:
    """A presigned GET that expires, and names the file for the browser in UTF-8 (RFC 6266). Never to be logged."""
    plain = "".join(letter if " " <= letter <= "~" and letter not in '"\\%' else "_" for letter in file_name)
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name, safe='')}"
    url: str = s3().generate_presigned_url(
        "get_object",
        Params={"Bucket": settings().bucket, "Key": key, "ResponseContentDisposition": disposition},
        ExpiresIn=seconds,
    )
    return url
