"""X-Ray, where a stage asks for it (`Tracing`): of each function and of the API, with the permission to write."""

from __future__ import annotations

from typing import Any

# Function -> its role, as chalice names them.
ROLES = {
    "APIHandler": "ApiHandlerRole",
    "Authorize": "AuthorizeRole",
    "Tick": "TickRole",
    "Sweep": "SweepRole",
    "Work": "WorkRole",
    "Fire": "FireRole",
}
POLICY = {"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/AWSXRayDaemonWriteAccess"}


def add(template: dict[str, Any]) -> None:
    """Add it to the joined fragments."""
    resources = template["Resources"]
    for function, role in ROLES.items():
        properties = resources.setdefault(function, {}).setdefault("Properties", {})
        properties["Tracing"] = {"Fn::If": ["Traces", "Active", "PassThrough"]}
        policies = resources.setdefault(role, {}).setdefault("Properties", {}).setdefault("ManagedPolicyArns", [])
        policies.append({"Fn::If": ["Traces", POLICY, {"Ref": "AWS::NoValue"}]})
    resources["RestAPI"]["Properties"]["TracingEnabled"] = {"Fn::If": ["Traces", True, False]}
