# SPDX-License-Identifier: Apache-2.0
"""`python -m crypsis.compat.tenseal program.py [arguments]`: run it with `import tenseal` meaning this package."""

from __future__ import annotations

import runpy
import sys

from crypsis.compat.tenseal import install


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("usage: python -m crypsis.compat.tenseal program.py [arguments]")
    install()
    sys.argv = sys.argv[1:]
    sys.path[0] = sys.argv[0].rpartition("/")[0]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
