"""Every setting, read from the environment once per process. The documentation lists each by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

Networks = tuple[IPv4Network | IPv6Network, ...]


@dataclass(frozen=True)
class Settings:
    """The configuration of a stage. The template sets the names of what it creates; the rest has these defaults."""

    stage: str = "dev"
    # Table names are `<tables>-<table>`, e.g. `carillon-dev-jobs`.
    tables: str = "carillon-dev"
    queue_url: str = ""
    bucket: str = ""
    # Secrets are named `<secrets>/sources/<source id>`.
    secrets: str = "carillon-dev"
    # EventBridge rules of tasks are named `<rules>-task-<task id>`.
    rules: str = "carillon-dev"
    # The function that these rules start. Only the functions that write rules have it.
    fire_arn: str = ""
    # The folder from which sources may read files; empty: the stage has none.
    data_folder: str = ""
    # Networks that the stage may connect to although `outbound.py` refuses them, such as a database on this machine.
    allowed_networks: Networks = ()
    # The shortest time between two fires of a schedule. 1 allows a fire every second.
    minimum_gap_seconds: int = 60
    # Into how many partitions the timeline of jobs is spread, 1 to 16. It may be raised: a job stays where it is.
    timeline_shards: int = 2
    # How long a presigned link lives.
    link_seconds: int = 300
    # How many days a job's record, runs, files and logs are kept after its end (`retention.py`). The bucket's lifecycle
    # has the same numbers. The first one is that of every kind that the second does not name.
    retention_days: int = 90
    retention_days_by_kind: dict[str, int] = field(default_factory=dict)
    # The issuer URL and the client id of the JWTs that are accepted; empty: API tokens only.
    issuer: str = ""
    audience: str = ""
    # The CloudWatch namespace of the metrics (`metrics.py`); empty: none are written.
    metrics: str = ""
    # The largest request body that is accepted.
    body_limit_bytes: int = 262_144


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process. `ValueError` names the variable whose value cannot be read."""
    found: dict[str, object] = {}
    for item in fields(Settings):
        name = variable(item.name)
        text = os.environ.get(name)
        if text is not None:
            found[item.name] = READERS[str(item.type)](name, text)
    made = Settings(**found)  # type: ignore[arg-type]
    if made.retention_days < 1:
        raise ValueError(f"{variable('retention_days')} must be 1 or more days, not {made.retention_days}")
    if not 1 <= made.timeline_shards <= 16:
        raise ValueError(f"{variable('timeline_shards')} must be 1 to 16, not {made.timeline_shards}")
    return made


def variable(name: str) -> str:
    """The environment variable of a setting: `bucket` is CARILLON_BUCKET."""
    return f"CARILLON_{name.upper()}"


def _text(name: str, text: str) -> str:
    return text


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"{name} must be a whole number, not {text!r}") from error


def _days_by_kind(name: str, text: str) -> dict[str, int]:
    problem = f'{name} must be a JSON object of days by kind, such as {{"<kind>": 30}}, not {text!r}'
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise ValueError(problem) from error
    if not isinstance(found, dict):
        raise ValueError(problem)
    for kind, days in found.items():
        if type(days) is not int or days < 1:
            raise ValueError(f"{name} must give each kind 1 or more whole days; {kind!r} has {days!r}")
    return found


def _networks(name: str, text: str) -> Networks:
    try:
        return tuple(ip_network(each.strip()) for each in text.split(",") if each.strip())
    except ValueError as error:
        raise ValueError(f"{name} must be networks such as 10.1.0.0/16, by commas: {error}") from error


READERS: dict[str, Callable[[str, str], object]] = {
    "str": _text,
    "int": _number,
    "dict[str, int]": _days_by_kind,
    "Networks": _networks,
}
