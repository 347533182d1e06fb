"""`python -m infra.lint`: package without dependencies, and have cfn-lint read the template. Part of `make check`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from infra import layer, package, template


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "package"
        try:
            layer.check()
            package.build("check", out, with_layer=False)
            package.lint(out / "template.json")
        except (package.PackageProblem, layer.LayerProblem, template.TemplateProblem) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    print("The template is well formed, and the layer's lock is that of requirements.txt.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
