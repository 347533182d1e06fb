"""What each kind of task has in the template: how many days its jobs leave their records, files and logs.

A kind's row in `chalicelib/kinds/registry.py` gives it a parameter, the environment's entry and the bucket's lifecycle
rules. Nothing about a kind stands in the fragments.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

GENERAL = {"Ref": "RetentionDays"}


def add(template: dict[str, Any], kinds: Iterable[str]) -> None:
    """Add to the joined fragments what these kinds have."""
    from chalicelib import retention

    kinds = list(kinds)
    parameters = {f"{word(kind)}RetentionDays": _parameter(kind) for kind in kinds}
    template["Parameters"] = _with_after(template["Parameters"], "RetentionDays", parameters)
    for kind in kinds:
        template["Conditions"][f"{word(kind)}Days"] = {
            "Fn::Not": [{"Fn::Equals": [{"Ref": f"{word(kind)}RetentionDays"}, "0"]}]
        }
    environment = template["Globals"]["Function"]["Environment"]
    by_kind = {"CARILLON_RETENTION_DAYS_BY_KIND": _days_by_kind(kinds)}
    environment["Variables"] = _with_after(environment["Variables"], "CARILLON_RETENTION_DAYS", by_kind)
    lifecycle = template["Resources"]["FilesBucket"]["Properties"]["LifecycleConfiguration"]
    expiring = [
        _rule(area, kind, f"{retention.prefix(area, kind)}/") for kind in kinds for area in get_args(retention.Area)
    ]
    lifecycle["Rules"] = expiring + lifecycle["Rules"]


def word(kind: str) -> str:
    """The kind as logical ids have it: `ReportExport`."""
    return kind.title().replace("_", "")


def _parameter(kind: str) -> dict[str, Any]:
    return {
        "Type": "Number",
        "Default": 0,
        "MinValue": 0,
        "MaxValue": 3650,
        "Description": f"The same for jobs of the kind {kind}; 0: as RetentionDays says",
    }


def _days(kind: str) -> dict[str, Any]:
    return {"Fn::If": [f"{word(kind)}Days", {"Ref": f"{word(kind)}RetentionDays"}, GENERAL]}


def _days_by_kind(kinds: list[str]) -> dict[str, Any]:
    """A JSON object of days by kind, as `chalicelib/settings.py` reads it."""
    text = ", ".join(f'"{kind}": ${{{word(kind)}}}' for kind in kinds)
    return {"Fn::Sub": ["{" + text + "}", {word(kind): _days(kind) for kind in kinds}]}


def _rule(area: str, kind: str, prefix: str) -> dict[str, Any]:
    return {
        "Id": f"expire-{area}-of-{kind.replace('_', '-')}",
        "Status": "Enabled",
        "Prefix": prefix,
        "ExpirationInDays": _days(kind),
        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
    }


def _with_after(section: dict[str, Any], name: str, added: dict[str, Any]) -> dict[str, Any]:
    """The section with these entries behind the one of this name, where a reader looks for them."""
    entries = list(section.items())
    place = [key for key, _ in entries].index(name) + 1
    return dict([*entries[:place], *added.items(), *entries[place:]])
