"""Cold start: importing the application against importing only the libraries it stands on."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ROUNDS = 15
TARGET = 1.3
LIBRARIES = (
    "import chalice, boto3, pynamodb.models, pynamodb.attributes, pynamodb.indexes, pydantic; pydantic.BaseModel"
)


def seconds(code: str) -> float:
    """CPU seconds of one import in a process of its own, the interpreter's own start left out."""
    script = f"import time; begin = time.process_time(); {code}; print(time.process_time() - begin)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    codes = {"libraries": LIBRARIES, "app": "import app"}
    for code in codes.values():
        seconds(code)
    times: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(ROUNDS):
        for name, code in codes.items():
            times[name].append(seconds(code))
    libraries, app = (statistics.median(times[name]) for name in codes)
    verdict = "holds" if app / libraries <= TARGET else "MISSED"
    print(f"import of chalice, boto3, pynamodb, pydantic   {libraries * 1000:.0f} ms")
    print(f"import of app                                  {app * 1000:.0f} ms")
    print(f"ratio                                          {app / libraries:.2f}   (to reach: {TARGET}; {verdict})")


if __name__ == "__main__":
    main()
