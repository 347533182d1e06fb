"""Why a job ended, as the API takes and shows it: what all jobs share, and what kinds of task bring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticKnownError

from chalicelib.core.lifecycle import Reason
from chalicelib.kinds.registry import preconditions


def known_reasons() -> list[str]:
    """All that a job may show today; a record whose kind is gone may show another."""
    return list(dict.fromkeys([*(reason.value for reason in Reason), *preconditions()]))


@dataclass(frozen=True)
class _ShownWithKinds:
    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        shown = handler(schema)
        handler.resolve_ref_schema(shown)["enum"] = known_reasons()
        return shown


def _known(value: Any) -> Any:
    known = known_reasons()
    if value not in known:
        *others, last = (f"'{reason}'" for reason in known)
        raise PydanticKnownError("enum", {"expected": f"{', '.join(others)} or {last}"})
    return value


ReasonName = Annotated[Reason, _ShownWithKinds()]
ReasonFilter = Annotated[ReasonName, BeforeValidator(_known)]
