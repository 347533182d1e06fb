"""Links to objects of the stage's bucket."""

from __future__ import annotations

from urllib.parse import quote

from chalicelib.settings import settings
from chalicelib.storage.bucket import s3


def presigned_link(key: str, *, file_name: str, seconds: int) -> str:
    """A presigned GET that expires after so many seconds. It tells the browser the file's name in UTF-8 (RFC 6266).

    It opens the file without a token, so it is never logged.
    """
    plain = "".join(letter if " " <= letter <= "~" and letter not in '"\\%' else "_" for letter in file_name)
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name, safe='')}"
    url: str = s3().generate_presigned_url(
        "get_object",
        Params={"Bucket": settings().bucket, "Key": key, "ResponseContentDisposition": disposition},
        ExpiresIn=seconds,
    )
    return url
