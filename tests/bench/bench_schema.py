"""The API against its own description, for longer than the tests take: every phase of schemathesis, on a stack."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.e2e.local_stack import LocalStack
from tests.e2e.schema import EXCLUDED, PHASES, run

# What all phases may take; on a machine that is free they take less, and fuzzing goes on with what is left.
SECONDS = 300
# Requests made up for each operation and phase, few enough that each phase comes to its end.
EXAMPLES = 8


def main(*words: str) -> int:
    with tempfile.TemporaryDirectory(prefix="carillon-schema-") as name:
        folder = Path(name)
        stack = LocalStack(folder / "state").start()
        try:
            found = run(stack, folder, "--max-examples", str(EXAMPLES), "--max-time", str(SECONDS), *words)
        finally:
            stack.stop()
    if found.failures:
        print(found.said)
    print(f"calls                {found.total} in {found.seconds:.0f} s")
    print(f"operations           {found.selected}; left out: {', '.join(EXCLUDED)}")
    print(f"methods, addresses   {len(found.calls)} tried, those that no operation has included")
    print(f"operations done      {len(found.done)}, the others were always refused")
    print(f"phases to the end    {', '.join(found.phases)}")
    if missing := [phase for phase in PHASES if phase not in found.phases]:
        print(f"phases cut off       {', '.join(missing)}")
    print(
        f"answers              {', '.join(f'{count} of {status}' for status, count in sorted(found.statuses.items()))}"
    )
    print(f"server errors        {sum(count for status, count in found.statuses.items() if status >= 500)}")
    print(f"findings             {len(found.failures)}")
    for failure in sorted(set(found.failures)):
        print(f"  {failure}")
    return 1 if found.failures or missing else 0


if __name__ == "__main__":
    # Further options are schemathesis's own: --seed 7, --phases stateful, …
    sys.exit(main(*sys.argv[1:]))
