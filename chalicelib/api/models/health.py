from __future__ import annotations

from typing import Literal

from chalicelib.api.models.base import Answer, Instant


class ServiceCheck(Answer):
    service: str
    reachable: bool
    milliseconds: int


class Health(Answer):
    status: Literal["ok", "unavailable"]
    version: str
    stage: str
    time: Instant
    services: list[ServiceCheck]
