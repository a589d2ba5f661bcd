# SPDX-License-Identifier: Apache-2.0
"""Build the wheel with the Python that runs this, which has what the package builds with.

.venv/bin/python tools/build_wheel.py [--out dist]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import bootstrap


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=bootstrap.ROOT / "dist", help="folder for the wheel")
    out = parser.parse_args().out.resolve()
    try:
        options = bootstrap.build_options()
    except bootstrap.SetupError as error:
        bootstrap.say(str(error))
        return 1
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    return subprocess.run([*command, *options, "--wheel-dir", str(out), str(bootstrap.ROOT)]).returncode


if __name__ == "__main__":
    sys.exit(main())
