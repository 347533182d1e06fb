"""A caller of the API, for what is loaded through it. Tokens are sent, never shown."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit


class Refused(Exception):
    """The API answered with an error."""

    def __init__(self, status: int, text: str):
        super().__init__(f"{status}: {text}")
        self.status = status


class Caller:
    def __init__(self, base_url: str, token: str | None = None):
        parts = urlsplit(base_url)
        self.host, self.path = parts.netloc, parts.path
        self.token = token

    def __call__(self, method: str, path: str, body: dict[str, Any] | None = None, *, key: str | None = None) -> Any:
        """Call the API; answers what it said, or raises `Refused`. `key` makes a POST safe to repeat."""
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if key:
            headers["Idempotency-Key"] = key
        data = None if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request(method, self.path + path, body=data, headers=headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status >= 400:
            raise Refused(answer.status, text)
        return json.loads(text) if text else None


def wait_until_well(call: Caller, seconds: float) -> None:
    """Return when health says so: the first call starts the function."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            call("GET", "/health")
            return
        except (Refused, OSError) as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the API is not well after {seconds:.0f} s: {error}") from error
            time.sleep(0.5)
