"""The CloudFormation template: fragments joined, merged into what chalice packages, expanded offline.

    tables.json + queues.json + … --join, retention of each kind--> merge file --chalice package--> SAM template
    SAM template --expand--> template.json

The code's place in S3 is a parameter (`ArtifactsBucket`) and a key that is the archive's digest, so one template serves
every account and a redeploy changes exactly the functions whose code changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from infra import dashboard, retention, tracing

HERE = Path(__file__).parent

# Every function runs this code, and finds its packages in the layer.
CODE = "deployment.zip"
LAYER = "layer-deployment.zip"

# A stage's stack is named after it: `carillon-prod`.
STACK = "carillon"

# The expansion needs some region, and gives the same template for each.
REGION = "us-east-1"


class TemplateProblem(Exception):
    """The template cannot be made."""


def fragments() -> list[Path]:
    """The files that the template is joined from."""
    return sorted(HERE.glob("*.json"))


def join(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One template out of several, section by section. A name given twice is a mistake, never an override."""
    joined: dict[str, Any] = {}
    for part in parts:
        for section, content in part.items():
            if not isinstance(content, Mapping):
                if section in joined:
                    raise TemplateProblem(f"{section} is given twice")
                joined[section] = content
                continue
            into = joined.setdefault(section, {})
            for name, value in content.items():
                if name in into:
                    raise TemplateProblem(f"{section}.{name} is given twice")
                into[name] = value
    return joined


def merge_file(stage: str) -> dict[str, Any]:
    """What chalice merges over its own template for a stage."""
    joined = join(json.loads(path.read_text(encoding="utf-8")) for path in fragments())
    joined["Parameters"]["Stage"]["Default"] = stage
    name_tables(joined, f"{STACK}-{stage}")
    retention.add(joined, registered_kinds())
    dashboard.add(joined, registered_kinds())
    tracing.add(joined)
    return joined


def name_tables(joined: dict[str, Any], prefix: str) -> None:
    """Write the names of tables out, and protect all alike: CloudFormation takes a table that a deleted stack has left
    only by a name that stands in the template as it is."""
    for resource in joined["Resources"].values():
        if resource.get("Type") == "AWS::DynamoDB::Table":
            text = json.dumps(resource["Properties"]).replace("${AWS::StackName}", prefix)
            resource["Properties"] = json.loads(text)
            resource["Properties"]["TableName"] = resource["Properties"]["TableName"]["Fn::Sub"]
            resource["Properties"]["DeletionProtectionEnabled"] = {"Fn::If": ["Protected", True, False]}
    joined["Globals"]["Function"]["Environment"]["Variables"]["CARILLON_TABLES"] = prefix


def registered_kinds() -> list[str]:
    """The kinds of task, in the order of their registry."""
    from chalicelib.kinds.registry import KINDS

    return list(KINDS)


def add_layer(sam: dict[str, Any]) -> None:
    """Give each function the layer of packages."""
    functions = [each for each in sam["Resources"].values() if each["Type"] == "AWS::Serverless::Function"]
    for function in functions:
        function["Properties"]["Layers"] = [{"Ref": "ManagedLayer"}]
    sam["Resources"]["ManagedLayer"] = {
        "Type": "AWS::Serverless::LayerVersion",
        "Properties": {
            "CompatibleRuntimes": [functions[0]["Properties"]["Runtime"]],
            "ContentUri": f"./{LAYER}",
            "LayerName": "managed-layer",
            "RetentionPolicy": "Delete",
        },
    }


def expand(sam: dict[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """A SAM template as plain CloudFormation, without AWS. `keys` names the S3 key of each archive."""
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    for resource in sam["Resources"].values():
        properties = resource.get("Properties", {})
        for name in ("CodeUri", "ContentUri"):
            if name in properties:
                archive = Path(properties[name]).name
                properties[name] = {"Bucket": {"Ref": "ArtifactsBucket"}, "Key": keys[archive]}
    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)
    translator = Translator({}, Parser())
    expanded: dict[str, Any] = translator.translate(sam, {})
    # The metrics go nowhere, but the translator complains when they are not published.
    translator.metrics.publish()
    return expanded


def gateway_responses(sam: Mapping[str, Any]) -> dict[str, Any]:
    """The answers that API Gateway gives itself, from the API's definition."""
    definition = sam["Resources"]["RestAPI"]["Properties"].get("DefinitionBody") or {}
    responses: dict[str, Any] = definition.get("x-amazon-apigateway-gateway-responses", {})
    return responses
