"""The whole fault matrix: every fault at every call of every scenario. The tests play a sample of it."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.support import world  # noqa: F401 - sets the environment first  # isort: skip
from tests.faults.fault_cases import SCENARIOS, every_case, play  # isort: skip


def main() -> int:
    played: Counter[str] = Counter()
    failed: list[str] = []
    begin = time.process_time()
    for name in SCENARIOS:
        for case in every_case(name):
            played[str(case.fault)] += 1
            try:
                play(case)
            except AssertionError as error:
                failed.append(str(error))
    for fault, count in sorted(played.items()):
        print(f"{fault:<28} {count:>6,} cases")
    print(f"{'all':<28} {played.total():>6,} cases, {len(failed)} failed, {time.process_time() - begin:.0f} s of CPU")
    print("\n".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
