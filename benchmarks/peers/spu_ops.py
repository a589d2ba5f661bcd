# SPDX-License-Identifier: Apache-2.0
"""`spu.psi` as a process that times itself: each operation is a whole job of two processes (spu_psi.py).

    .venv-spu/bin/python benchmarks/peers/spu_ops.py

Operations are `PROTOCOL ROWS COMMON FOLDER`: a protocol (ecdh, rr22, rr22-low-comm, kkrt), both parties learning the
result of alice.csv and bob.csv in the folder; the rate is in rows, after the number in common has been compared.
"""

from __future__ import annotations

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


class Operations(dict[str, Callable[[], float]]):
    """Whatever is asked for; nothing is known before."""

    def __missing__(self, line: str) -> Callable[[], float]:
        protocol, n_rows, n_common, folder = line.split(maxsplit=3)
        return lambda: job(Path(folder), int(n_rows), int(n_common), protocol)


if __name__ == "__main__":
    serve(Operations())
