# SPDX-License-Identifier: Apache-2.0
"""mypy --strict on the package as it is installed: crypsis, with mpc/ as crypsis.mpc.

mypy knows packages by folder, and the checkout keeps them apart: links under build/ put them together.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "build" / "typecheck"


def link_tree() -> None:
    """build/typecheck/crypsis, made anew: links to the entries of bindings/crypsis, and to mpc."""
    shutil.rmtree(TREE, ignore_errors=True)
    package = TREE / "crypsis"
    package.mkdir(parents=True)
    for entry in (ROOT / "bindings" / "crypsis").iterdir():
        if entry.name != "__pycache__" and entry.suffix != ".so":
            (package / entry.name).symlink_to(entry)
    (package / "mpc").symlink_to(ROOT / "mpc")


def main() -> int:
    link_tree()
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--cache-dir"]
    command += [str(TREE / "cache"), "-p", "crypsis"]  # a kept cache misses modules that are new in the tree
    return subprocess.run(
        [*command, *sys.argv[1:]], cwd=ROOT, env=os.environ | {"MYPYPATH": str(TREE)}
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
