"""What a source of kind `postgres` says about itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from chalicelib.core.local_time import zone

# No control characters: libpq refuses a NUL by an error that is not its own.
PRINTED = r"^[^\x00-\x1f\x7f]*$"


def _zone(value: str) -> str:
    return zone(value).key


class PostgresSettings(BaseModel):
    """How to reach the database. The password is the source's secret and never stands here. `timezone` is the zone that
    instants are written in.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"host": "db.example.com", "database": "shop", "user": "reader"}]},
    )

    host: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255, pattern=r"^[^\s,/@\x00-\x1f\x7f]+$")
    ]
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] = 5432
    database: Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=PRINTED)]
    user: Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=PRINTED)]
    sslmode: Annotated[
        Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        Field(description="As libpq's; `prefer` takes TLS where the server has it"),
    ] = "prefer"
    connect_timeout: Annotated[int, Field(strict=True, ge=2, le=60, description="Seconds")] = 10
    read_timeout: Annotated[
        int | None,
        Field(strict=True, ge=1, le=900, description="Seconds that the server may send nothing; null: any number"),
    ] = None
    cancel_timeout: Annotated[
        int,
        Field(strict=True, ge=1, le=10, description="Seconds in which it must end a statement before the line is cut"),
    ] = 3
    search_path: Annotated[
        str,
        StringConstraints(max_length=200, pattern=PRINTED),
        Field(description="Schemas, by commas; empty: the user's own"),
    ] = ""
    timezone: Annotated[
        str,
        AfterValidator(_zone),
        Field(description="Of the session: how instants are written", examples=["Europe/Paris"]),
    ] = "UTC"
    show_values: Annotated[
        bool, Field(strict=True, description="Errors show the values that the database quotes; otherwise `***`")
    ] = False
