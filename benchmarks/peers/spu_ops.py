# SPDX-License-Identifier: Apache-2.0
"""`spu.psi` as a process that times itself: each operation is a whole job of two processes (spu_psi.py).

    .venv-spu/bin/python benchmarks/peers/spu_ops.py FOLDER ROWS COMMON

FOLDER has alice.csv and bob.csv; operations are the names of protocols (ecdh, rr22, rr22-low-comm, kkrt), both parties
learning the result; the rate is in rows, after the number in common has been compared with COMMON.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from serve import serve  # isort: skip

import spu_psi


def job(folder: Path, n_rows: int, n_common: int, protocol: str) -> float:
    """Rows a second; ValueError for a wrong answer."""
    arguments = ["--alice", f"{folder}/alice.csv", "--bob", f"{folder}/bob.csv", "--broadcast"]
    out = folder / "spu"
    out.mkdir(exist_ok=True)
    found = spu_psi.both([*arguments, "--out", str(out), "--protocol", protocol])
    if found["intersection"] != n_common:
        raise ValueError(f"wrong answer: {found['intersection']} rows in common, there are {n_common}")
    return n_rows / float(str(found["seconds"]))


def operation(protocol: str) -> Callable[[], float]:
    return lambda: job(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), protocol)


if __name__ == "__main__":
    serve({protocol: operation(protocol) for protocol in spu_psi.PROTOCOLS})
