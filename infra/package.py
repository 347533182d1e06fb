"""`make package STAGE=prod`: what `make deploy` uploads, in build/<stage>/. Needs no AWS account and no credentials.

template.json               plain CloudFormation
<digest>.zip                the code, and the layer of its dependencies
manifest.json               stage, template and archives, for the deploy
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from infra import archives, layer, template

ROOT = Path(__file__).parent.parent
REQUIREMENTS = ROOT / "infra" / "requirements-package.txt"

# The runtime is the interpreter that packages. Newest first; all are runtimes of Lambda.
PYTHONS = ((3, 13), (3, 12), (3, 11))

PACKAGED_BLOCK = "prod"


class PackageProblem(Exception):
    """The package cannot be made."""


def lay_out(target: Path, stage: str) -> None:
    """Copy the project as chalice expects it, so that packaging leaves no trace in the work tree.

    Every stage is packaged like `prod` unless config.json has a block of its own for it. To chalice the project has no
    dependencies: they come with the layer (`layer.py`), and the emulator's own environment has them.
    """
    shutil.rmtree(target, ignore_errors=True)
    skip = shutil.ignore_patterns("__pycache__", "deployed", "deployments")
    shutil.copytree(ROOT / "chalicelib", target / "chalicelib", ignore=skip)
    shutil.copytree(ROOT / ".chalice", target / ".chalice", ignore=skip)
    shutil.copy(ROOT / "app.py", target)
    config = json.loads((target / ".chalice" / "config.json").read_text(encoding="utf-8"))
    config["stages"] = {stage: config["stages"].get(stage, config["stages"][PACKAGED_BLOCK])}
    config["automatic_layer"] = False
    (target / ".chalice" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (target / "requirements.txt").write_text("", encoding="utf-8")


def run_chalice(project: Path, stage: str, out: Path) -> dict[str, Any]:
    """Have chalice package a laid out project; answers the SAM template."""
    merge = project / "merge.json"
    merge.write_text(json.dumps(template.merge_file(stage)), encoding="utf-8")
    command = [sys.executable, "-c", "from chalice.cli import main; main()", "package"]
    command += ["--stage", stage, "--merge-template", str(merge), str(out)]
    region = {"AWS_DEFAULT_REGION": os.environ.get("AWS_DEFAULT_REGION", template.REGION)}
    done = subprocess.run(command, cwd=project, env=os.environ | region, capture_output=True, text=True)
    said = done.stdout + done.stderr
    if done.returncode:
        raise PackageProblem(f"chalice could not package the project:\n{said}")
    sam: dict[str, Any] = json.loads((out / "sam.json").read_text(encoding="utf-8"))
    return sam


def build(stage: str, out: Path, *, with_layer: bool) -> dict[str, Any]:
    """Package a stage into a folder; answers the manifest."""
    shutil.rmtree(out, ignore_errors=True)
    project = out / "project"
    lay_out(project, stage)
    sam = run_chalice(project, stage, out)
    if with_layer:
        packages = out / "layer" / "python" / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"
        layer.install(packages / "site-packages")
        archives.pack(out / "layer", out / template.LAYER)
        template.add_layer(sam)
    keys, total = {}, 0
    for name in (template.CODE, template.LAYER):
        archive = out / name
        if archive.exists():
            if with_layer:
                total += archives.prepare(archive, out / "unpacked" / archive.stem)
            keys[name] = f"{archives.digest(archive)}.zip"
            archive.rename(out / keys[name])
    archives.check(total)
    if with_layer:
        prove(out / "unpacked")
    responses = template.gateway_responses(sam)
    (out / "template.json").write_text(json.dumps(template.expand(sam, keys), indent=1), encoding="utf-8")
    manifest = {
        "stage": stage,
        "archives": sorted(keys.values()),
        "unpacked_bytes": total,
        "gateway_responses": responses,
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    for leftover in (project, out / "layer", out / "unpacked"):
        shutil.rmtree(leftover, ignore_errors=True)
    (out / "sam.json").unlink()
    return manifest


def prove(unpacked: Path) -> None:
    """Import the application from the packaged files alone: a missing module shows here, not in AWS."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return
    folders = [str(unpacked / Path(template.CODE).stem), *map(str, unpacked.glob("*/python/lib/*/site-packages"))]
    code = (
        f"import sys, pkgutil, importlib; sys.path[:0] = {folders}; import app, chalicelib\n"
        "for each in pkgutil.walk_packages(chalicelib.__path__, 'chalicelib.'): importlib.import_module(each.name)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd="/", capture_output=True, text=True)
    if done.returncode:
        raise PackageProblem(f"the packaged application cannot be imported:\n{done.stderr}")


def interpreter(asked: str | None = None) -> Path:
    """A Python whose version is a runtime of Lambda: the one that is asked for, on PATH, or that pyenv has."""
    wanted = " or ".join(f"python{major}.{minor}" for major, minor in PYTHONS)
    if asked is not None:
        found_there = shutil.which(asked)
        done = found_there and subprocess.run(
            [found_there, "-c", "import sys, venv; print(*sys.version_info[:2])"], capture_output=True, text=True
        )
        version = tuple(map(int, done.stdout.split())) if done and not done.returncode else ()
        if found_there is None or version not in PYTHONS:
            raise PackageProblem(f"{asked} cannot package: it must be {wanted}, a runtime of Lambda, with venv")
        return Path(found_there)
    for major, minor in PYTHONS:
        name = f"python{major}.{minor}"
        found = [Path(path) for path in filter(None, [shutil.which(name)])]
        found += sorted((Path.home() / ".pyenv" / "versions").glob(f"{major}.{minor}.*/bin/{name}"))
        for candidate in found:
            # pyenv puts shims on PATH for versions that are not active; they fail when called.
            if not subprocess.run([candidate, "-c", "import venv"], capture_output=True).returncode:
                return candidate
    raise PackageProblem(f"packaging needs {wanted} on PATH: Lambda's runtime is the version that packages")


def environment(asked: str | None = None) -> Path:
    """The virtual environment to package in, made on first use; answers its interpreter."""
    folder = ROOT / "build" / ".package-venv"
    python, stamp = folder / "bin" / "python", folder / "requirements"
    base = interpreter(asked)
    wanted = "".join(path.read_text(encoding="utf-8") for path in (REQUIREMENTS, ROOT / "requirements.txt"))
    wanted = f"# {base.resolve()}\n{wanted}"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        print(f"Making the packaging environment with {base} …", flush=True)
        subprocess.run([base, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", REQUIREMENTS], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python


def lint(path: Path) -> None:
    """Have cfn-lint read the finished template."""
    done = subprocess.run([Path(sys.executable).parent / "cfn-lint", path], capture_output=True, text=True)
    if done.returncode:
        raise PackageProblem(f"cfn-lint is not content with {path.name}:\n{done.stdout}{done.stderr}")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m infra.package", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--stage", required=True)
    parser.add_argument("--python", help="the Python to package with, which is the runtime; default: the newest here")
    given = parser.parse_args()
    stage = given.stage
    out = ROOT / "build" / stage
    try:
        inside = ROOT / "build" / ".package-venv"
        if Path(sys.prefix).resolve() != inside.resolve():
            python = environment(given.python)
            return subprocess.run([python, "-m", "infra.package", "--stage", stage], cwd=ROOT).returncode
        layer.check()
        manifest = build(stage, out, with_layer=True)
        lint(out / "template.json")
    except (PackageProblem, layer.LayerProblem, archives.TooLarge, template.TemplateProblem) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    packed = sum((out / name).stat().st_size for name in manifest["archives"])
    print(f"Packaged stage {stage} in build/{stage}/ for Python {sys.version_info.major}.{sys.version_info.minor}:")
    print(f"  {archives.megabytes(packed)} packed, {archives.megabytes(manifest['unpacked_bytes'])} unpacked")
    print(f"  of the {archives.megabytes(archives.LIMIT_BYTES)} that Lambda takes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
