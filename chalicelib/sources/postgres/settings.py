"""What a source of kind `postgres` says about itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    model_validator,
)

from chalicelib import outbound
from chalicelib.core.local_time import zone
from chalicelib.sources.trust import accept_certificates

# Once these could be chosen, and `prefer` was the default: with both, a server that says no to TLS gets the
# password in clear.
_OPPORTUNISTIC = ("allow", "prefer")
SAFE: Literal["verify-full"] = "verify-full"
# No control characters: libpq refuses a NUL by an error that is not its own.
PRINTED = r"^[^\x00-\x1f\x7f]*$"


def _host(value: str) -> str:
    return outbound.accept_host(value, private=True)


def _zone(value: str) -> str:
    return zone(value).key


def _mode(value: Any, info: ValidationInfo) -> Any:
    """A stored source that says `prefer` is read as the safe mode; a request that says so is refused."""
    stored = bool((info.context or {}).get("stored"))
    return SAFE if stored and value in _OPPORTUNISTIC else value


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
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=253),
        AfterValidator(_host),
        Field(description="A name or an IP address", examples=["db.example.com"]),
    ]
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] = 5432
    database: Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=PRINTED)]
    user: Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=PRINTED)]
    sslmode: Annotated[
        Literal["verify-full", "verify-ca", "require", "disable"],
        BeforeValidator(_mode),
        Field(
            description="verify-full checks that the server is the one that was named; verify-ca only who signed its "
            "certificate; require encrypts and checks nothing; disable sends the data in clear"
        ),
    ] = SAFE
    ca_certificate: Annotated[
        Annotated[str, StringConstraints(max_length=32_000), AfterValidator(accept_certificates)] | None,
        Field(
            description="Certificates in PEM that sign the server's; null: those of AWS's databases and the public "
            "authorities"
        ),
    ] = None
    allow_superuser: Annotated[
        bool,
        Field(strict=True, description="Whether the user may be a superuser, whom a read-only session does not hold"),
    ] = False
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

    @model_validator(mode="after")
    def _own_certificates_alone_say_less_than_the_name(self) -> Self:
        # Every authority of the public list signs for every host that asks, so without the name it proves nothing.
        if self.sslmode == "verify-ca" and self.ca_certificate is None:
            raise ValueError("verify-ca needs ca_certificate: any public certificate would do otherwise")
        return self
