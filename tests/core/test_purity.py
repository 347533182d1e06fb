"""The rules stay pure: they load no service, and no clock is read."""

from __future__ import annotations

import re
import subprocess
import sys
import zoneinfo
from pathlib import Path

import chalicelib.core
from chalicelib.core import TZDATA_VERSION

CORE = Path(chalicelib.core.__file__).parent
# `misfire`, `schedules.fires` …
MODULES = sorted(
    ".".join(path.relative_to(CORE).with_suffix("").parts) for path in CORE.rglob("*.py") if path.stem != "__init__"
)


def test_importing_the_rules_loads_no_service_and_not_croniter():
    code = "import sys; " + "; ".join(f"import chalicelib.core.{name}" for name in MODULES)
    code += "; print(sorted({'boto3', 'botocore', 'pynamodb', 'chalice', 'croniter', 'pydantic'} & set(sys.modules)))"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CORE.parent.parent
    )

    assert done.stdout.strip() == "[]"


def test_no_clock_is_read():
    clocks = re.compile(r"\b(now|utcnow|today|time_ns|monotonic|perf_counter)\(|\btime\.time\(")

    assert [name for name in MODULES if clocks.search((CORE / f"{name.replace('.', '/')}.py").read_text())] == []


def test_only_the_pinned_time_zone_data_counts():
    assert zoneinfo.TZPATH == ()
    assert re.fullmatch(r"20\d\d[a-z]", TZDATA_VERSION)
