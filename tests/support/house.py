"""The house: its packages, what each may import, and the imports as the code has them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Modules right under `chalicelib`: every package may use them, and core. They use each other and core.
GROUND = frozenset(
    {"clock", "errors", "settings", "log", "masking", "metrics", "outbound", "paging", "retention", "retrying"}
)
# Package -> what it may import besides itself, the ground and core. Core itself may import `errors` alone.
ALLOWED: dict[str, frozenset[str]] = {
    package: frozenset(names.split())
    for package, names in {
        "store": "",
        "aws": "",
        "sources": "",
        "storage": "aws",
        "exports": "storage",
        "kinds": "sources exports storage",
        "access": "store",
        "logs": "store storage",
        "queue": "access store aws",
        "scheduling": "queue store aws",
        "catalogue": "queue access sources store aws",
        "jobs": "queue logs access kinds storage store aws",
        "tasks": "scheduling queue access kinds store aws",
        "worker": "jobs queue logs kinds storage store aws",
        "maintenance": "tasks jobs queue logs storage store",
        "api": "tasks jobs catalogue scheduling queue logs access kinds sources store aws",
    }.items()
}
# The module of a kind that puts it together with the tables and the services may import these too.
WIRING = frozenset({"store", "aws"})
# Each folder below these is a plug-in: it is named in its package's registry, and only its own modules import it.
PLUGGED_INTO = ("chalicelib.kinds.", "chalicelib.sources.")


def _modules() -> Iterator[tuple[str, Path]]:
    yield "app", ROOT / "app.py"
    for path in sorted((ROOT / "chalicelib").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES: dict[str, Path] = dict(_modules())


def package_of(module: str) -> str:
    """`chalicelib.store.jobs` is of package store, `chalicelib.errors` of the ground."""
    parts = module.split(".")
    if module in ("app", "chalicelib"):
        return module
    return "ground" if parts[1] in GROUND else parts[1]


@cache
def imports_of(module: str, *, top_level_only: bool = False) -> frozenset[str]:
    """The modules of this project that a module imports, at its top or anywhere."""
    tree = ast.parse(MODULES[module].read_text())
    found: set[str] = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in whole}
    return frozenset(found & MODULES.keys()) - {module}


def allowed(module: str, imported: str) -> bool:
    """Whether the table lets a module import another one."""
    own, other = package_of(module), package_of(imported)
    if plug_in(imported) not in (None, plug_in(module)):
        return False
    if other in (own, "chalicelib"):
        return module != "chalicelib.errors"
    if own == "core":
        return imported == "chalicelib.errors"
    if own == "ground":
        # Core stands on the errors, and the rest of the ground on core.
        return other == "core" and module != "chalicelib.errors"
    if other in ("ground", "core"):
        return True
    if own == "app":
        # Its handlers import what they need when they run; a test of its own holds what it imports at its top.
        return True
    wiring = own == "kinds" and module.endswith(".wiring")
    return other in ALLOWED.get(own, frozenset()) | (WIRING if wiring else frozenset())


def plug_in(module: str) -> str | None:
    """The plug-in that a module is of, `chalicelib.kinds.report_export.kind`; None for every other module."""
    for package in PLUGGED_INTO:
        if module.startswith(package):
            folder = package + module.removeprefix(package).split(".")[0]
            return folder if folder in MODULES and MODULES[folder].name == "__init__.py" else None
    return None


def arrows() -> set[tuple[str, str]]:
    """(importing package, imported package) wherever a file of one imports a file of the other. The ground is none."""
    pairs = {(package_of(module), package_of(name)) for module in MODULES for name in imports_of(module)}
    return {(one, other) for one, other in pairs if one != other and not {one, other} & {"chalicelib", "ground"}}


def circle(graph: Mapping[str, frozenset[str]]) -> list[str]:
    """The members of a circle, the first again at its end; empty when there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def longest_chain(pairs: set[tuple[str, str]]) -> list[str]:
    """The packages of the longest way down the arrows, from the top."""
    chains: dict[str, list[str]] = {}
    for name in TopologicalSorter({one: {b for a, b in pairs if a == one} for one, _ in pairs}).static_order():
        below = [chains[other] for one, other in pairs if one == name]
        chains[name] = [name, *max(below, key=len, default=[])]
    return max(chains.values(), key=len)


def floors() -> dict[str, int]:
    """Each package's floor: 1 for one that imports no other, else one above the highest that it imports."""
    pairs, found = arrows(), {}
    graph = {name: {other for one, other in pairs if one == name} for name in {each for pair in pairs for each in pair}}
    for name in TopologicalSorter(graph).static_order():
        found[name] = 1 + max((found[other] for other in graph[name]), default=0)
    return found


def picture() -> str:
    """The packages by floor, the highest first, each with those that it imports. `core` is left out, as all use it."""
    rows, above = [], None
    for name, floor in sorted(floors().items(), key=lambda each: (-each[1], each[0])):
        if name == "core":
            continue
        others = sorted(other for one, other in arrows() if one == name and other != "core")
        rows.append(f"{floor - 1 if floor != above else '':>5}  {name:<12} {' '.join(others)}".rstrip())
        above = floor
    return "\n".join(["floor  package      imports", *rows])


HOUSE = re.compile(r"(<!-- house -->\n```\n)(.*?)(```)", re.DOTALL)
ARCHITECTURE = ROOT / "docs" / "architecture.md"

if __name__ == "__main__":
    # `python -m tests.support.house` draws the picture anew.
    text = ARCHITECTURE.read_text("utf-8")
    ARCHITECTURE.write_text(HOUSE.sub(lambda found: f"{found[1]}{picture()}\n{found[3]}", text), "utf-8")
