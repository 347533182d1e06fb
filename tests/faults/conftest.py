"""Report at the end how many crash points were covered, also when the tests ran in several processes."""

from __future__ import annotations

from typing import Any

POINTS = "crash points"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    found: dict[str, int] = {}
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name.startswith(POINTS):
                found[name] = found.get(name, 0) + value
    for name, count in sorted(found.items()):
        terminalreporter.write_line(f"{name}: {count} covered")
