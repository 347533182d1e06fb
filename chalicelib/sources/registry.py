"""The kinds of source: a folder each, and a row here.

A row names the class as text, and the classes import their drivers inside functions, so that checking settings loads no
database driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pydantic

from chalicelib.core.model_errors import field_problems
from chalicelib.errors import Invalid
from chalicelib.sources.protocol import Source
from chalicelib.sources.sql_tokens import Dialect

SOURCES: dict[str, str] = {
    "postgres": "chalicelib.sources.postgres.source:PostgresSource",
    "sqlite": "chalicelib.sources.sqlite.source:SqliteSource",
}


def open_source(
    kind: str,
    settings: Mapping[str, Any],
    secret: str | None,
    *,
    statement_timeout_seconds: float | None = None,
    data_folder: str | Path | None = None,
    application_name: str = "carillon",
) -> Source:
    """A source, to be used in a `with` block. `secret` is the password of a kind that has one. Raises `Invalid` as
    `check_settings` does.
    """
    source_class = _source_class(kind)
    source: Source = source_class(
        _validated(source_class, settings, data_folder, stored=True),
        secret,
        data_folder=data_folder,
        statement_timeout_seconds=statement_timeout_seconds,
        application_name=application_name,
    )
    return source


def check_settings(kind: str, settings: Mapping[str, Any], *, data_folder: str | Path | None = None) -> dict[str, Any]:
    """The settings as they are stored, or `Invalid` naming `kind` or each `settings.<name>` at fault."""
    model = _validated(_source_class(kind), settings, data_folder, stored=False)
    canonical: dict[str, Any] = model.model_dump(mode="json")
    return canonical


def settings_models() -> dict[str, type[pydantic.BaseModel]]:
    """The model of each kind's settings."""
    return {kind: _source_class(kind).Settings for kind in SOURCES}


def dialect_of(kind: str) -> Dialect:
    """How this kind of database reads SQL; `Invalid` for a kind that does not exist."""
    dialect: Dialect = _source_class(kind).dialect
    return dialect


def as_read(kind: str, settings: Mapping[str, Any], *, data_folder: str | Path | None = None) -> dict[str, Any]:
    """Stored settings as a connection reads them: with new settings' defaults, and old values as they are taken now.
    Those that no connection would take, and those of a kind that is gone, stay as they are.
    """
    if kind not in SOURCES:
        return dict(settings)
    try:
        return _validated(_source_class(kind), settings, data_folder, stored=True).model_dump(mode="json")
    except Invalid:
        return dict(settings)


def address_of(kind: str, settings: Mapping[str, Any]) -> tuple[Any, ...]:
    """Where the password of a source of these settings goes. The kind of a stored source may be gone."""
    names = _source_class(kind).address if kind in SOURCES else ()
    read = as_read(kind, settings) if names else settings
    return (kind, *(read.get(name) for name in names))


def _source_class(kind: str) -> Any:
    if kind not in SOURCES:
        known = ", ".join(sorted(SOURCES))
        raise Invalid(f"There is no kind of source named {kind!r}; there are {known}.", field="kind")
    module, _, name = SOURCES[kind].partition(":")
    return getattr(import_module(module), name)


def _validated(
    source_class: Any, settings: Mapping[str, Any], data_folder: str | Path | None, *, stored: bool
) -> pydantic.BaseModel:
    """`stored` settings were accepted once, maybe by an earlier version; a model may read old values in its own way."""
    context = {"data_folder": None if data_folder is None else Path(data_folder), "stored": stored}
    try:
        model: pydantic.BaseModel = source_class.Settings.model_validate(dict(settings), context=context)
    except pydantic.ValidationError as error:
        raise Invalid("The source's settings cannot be accepted.", problems=field_problems(error, "settings")) from None
    return model
