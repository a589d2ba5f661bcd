# SPDX-License-Identifier: Apache-2.0
"""Build the wheel, or install the checkout editable, with the Python that runs this and what it has installed.

    .venv/bin/python tools/build_package.py wheel --out dist
    .venv/bin/python tools/build_package.py editable

Dependencies are not installed. `--build-dir` keeps the compiler's output apart from that of `make build`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import bootstrap


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("form", choices=("wheel", "editable"))
    parser.add_argument("--out", type=Path, default=bootstrap.ROOT / "dist", help="folder for the wheel")
    parser.add_argument("--build-dir", type=Path, help="folder for the compiler's output (default: build/)")
    arguments = parser.parse_args()
    try:
        options = bootstrap.build_options()
    except bootstrap.SetupError as error:
        bootstrap.say(str(error))
        return 1
    if arguments.build_dir is not None:
        options.append(f"--config-settings=build-dir={arguments.build_dir.resolve()}")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    if arguments.form == "wheel":
        command += ["wheel", "--wheel-dir", str(arguments.out.resolve()), str(bootstrap.ROOT)]
    else:
        command += ["install", "--editable", str(bootstrap.ROOT)]
    return subprocess.run([*command, "--quiet", "--no-deps", *options]).returncode


if __name__ == "__main__":
    sys.exit(main())
