"""The layer: what `requirements.txt` names and all that this needs, each file by its hash (`requirements-layer.txt`).

chalice is left out: packaging puts the part of it that runs beside the application, and the rest is its command line.
`make lock` writes the lock anew, after `requirements.txt` changed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
REQUIREMENTS = ROOT / "requirements.txt"
LOCK = ROOT / "infra" / "requirements-layer.txt"

# Runs the command line that packages; nothing of these is imported in Lambda.
LEFT_OUT = frozenset({"chalice"})
COMMAND_LINE = frozenset({"click", "inquirer", "pip", "setuptools", "wheel", "pyyaml", "blessed", "readchar"})
# The oldest Python that packages; the lock holds for all newer ones too.
OLDEST = "3.11"

# The newest glibc that a wheel may ask for: python3.11 runs on Amazon Linux 2, later ones on Amazon Linux 2023.
GLIBC = {(3, 11): 26}
LATER_GLIBC = 34


class LayerProblem(Exception):
    """The layer cannot be made, or the lock is not that of the requirements."""


def wanted(requirements: str) -> dict[str, str]:
    """The versions that `requirements.txt` pins, by name, those of the layer."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", requirements, re.MULTILINE)
    return {normal(name): version for name, version in pins if normal(name) not in LEFT_OUT}


def locked(lock: str) -> dict[str, tuple[str, int]]:
    """The version of each locked package, and how many hashes it has."""
    found: dict[str, tuple[str, int]] = {}
    for entry in re.split(r"\n(?=[A-Za-z0-9])", lock):
        pin = re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", entry)
        if pin:
            found[normal(pin[1])] = (pin[2], entry.count("--hash=sha256:"))
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def problems(requirements: str, lock: str) -> list[str]:
    """What is wrong with a lock. Needs no network: dependencies are read from what is installed here."""
    asked, pins = wanted(requirements), locked(lock)
    found = [f"{name} has no hash" for name, (_, hashes) in pins.items() if not hashes]
    for name, version in asked.items():
        if name not in pins or pins[name][0] != version:
            found.append(f"{name} is {version} in requirements.txt and {pins.get(name, ('absent',))[0]} in the lock")
    if pins.get("boto3", ("",))[0] != pins.get("botocore", ("",))[0]:
        found.append("boto3 and botocore are of two releases")
    found += [f"{name} is of chalice's command line" for name in pins if name in LEFT_OUT | COMMAND_LINE]
    found += [f"{name} is needed by {by}, and not locked" for name, by in _needs(pins) if name not in pins]
    return sorted(set(found))


def _needs(pins: dict[str, tuple[str, int]]) -> list[tuple[str, str]]:
    """What the locked packages need here, and which of them needs it."""
    found = []
    for name in pins:
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for text in needed:
            if ";" not in text:
                found.append((normal(re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0]), name))
    return found


def check() -> None:
    if found := problems(REQUIREMENTS.read_text(encoding="utf-8"), LOCK.read_text(encoding="utf-8")):
        raise LayerProblem("the lock is not that of requirements.txt, run make lock:\n  " + "\n  ".join(found))


def install(folder: Path) -> None:
    """Put the locked packages into a folder, as wheels for Lambda and this Python; a wrong hash is refused."""
    version = sys.version_info[:2]
    newest = GLIBC.get(version, LATER_GLIBC)
    platforms = ["manylinux2014_x86_64", "manylinux1_x86_64", "manylinux2010_x86_64"]
    platforms += [f"manylinux_2_{minor}_x86_64" for minor in range(5, newest + 1)]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--implementation", "cp"]
    command += ["--python-version", "{}.{}".format(*version), "--target", str(folder), "-r", str(LOCK)]
    command += [word for platform in platforms for word in ("--platform", platform)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise LayerProblem(f"the layer's packages could not be fetched:\n{done.stdout}{done.stderr}")


def lock() -> None:
    """Write the lock anew, with uv, which `requirements-dev.txt` pins."""
    pins = "\n".join(f"{name}=={version}" for name, version in wanted(REQUIREMENTS.read_text("utf-8")).items())
    command = [Path(sys.executable).parent / "uv", "pip", "compile", "--quiet", "--universal", "--no-header"]
    command += ["--python-version", OLDEST, "--generate-hashes", "--no-annotate", "-", "--output-file", LOCK]
    subprocess.run(command, input=pins, text=True, check=True)
    head = "# Made by `make lock` from requirements.txt: what the layer holds, each file by its hash.\n"
    LOCK.write_text(head + LOCK.read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    lock()
