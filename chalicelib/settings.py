"""Every setting, read from the environment once per process. README.md lists each by name."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from functools import lru_cache


@dataclass(frozen=True)
class Settings:
    """The stage's configuration. The template fills in what it makes; the rest has these defaults."""

    stage: str = "dev"
    # Table names are `<tables>-<table>`, e.g. `carillon-dev-jobs`.
    tables: str = "carillon-dev"
    queue_url: str = ""
    bucket: str = ""
    # Secrets are named `<secrets>/sources/<source id>`.
    secrets: str = "carillon-dev"
    # The rules of tasks are named `<rules>-task-<task id>`, and call this function; only who puts rules knows it.
    rules: str = "carillon-dev"
    fire_arn: str = ""
    # Folder that sqlite sources may read; empty: the stage has none.
    data_folder: str = ""
    # The closest two fires of a schedule may come. 1 allows seconds.
    minimum_gap_seconds: int = 60
    # How long a presigned link lives.
    link_seconds: int = 300
    # How long records live after a job ended; the bucket's lifecycle has the same number of days for files.
    job_retention_days: int = 400
    file_retention_days: int = 30
    log_retention_days: int = 30
    # The Cognito user pool's issuer URL and the client id a token must be for; empty: API tokens only.
    issuer: str = ""
    audience: str = ""
    # Largest request body taken.
    body_limit_bytes: int = 262_144


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process. A value that is not a whole number where one belongs names its variable."""
    found: dict[str, object] = {}
    for item in fields(Settings):
        name = variable(item.name)
        text = os.environ.get(name)
        if text is None:
            continue
        if item.type == "int":
            try:
                found[item.name] = int(text)
            except ValueError as error:
                raise ValueError(f"{name} must be a whole number, not {text!r}") from error
        else:
            found[item.name] = text
    return Settings(**found)  # type: ignore[arg-type]


def variable(name: str) -> str:
    """The environment variable of a setting: `bucket` is CARILLON_BUCKET."""
    return f"CARILLON_{name.upper()}"
