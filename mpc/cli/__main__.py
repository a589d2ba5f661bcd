# SPDX-License-Identifier: Apache-2.0
"""`python -m crypsis.mpc.cli`: the `crypsis` command where its script is not on the path."""

from crypsis.mpc.cli import main

if __name__ == "__main__":
    main()
