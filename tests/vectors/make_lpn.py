# SPDX-License-Identifier: Apache-2.0
"""Write lpn.json: `PYTHONPATH=tests python tests/vectors/make_lpn.py`.

Inputs come from SHAKE-128 of a label, answers from tests/reference/lpn.py: no published vectors exist for these codes.
The file fixes the codes: parties of different versions agree on them or compute nonsense.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from reference import aes
from reference import lpn as reference

PATH = Path(__file__).with_name("lpn.json")
TREE_KEY = bytes.fromhex("a4093822299f31d0082efa98ec4e6c89")
"""pi0 of the trees, `crypsis.aes.LEFT_KEY`."""


def blocks(label: str, n: int) -> list[int]:
    data = hashlib.shake_128(f"crypsis lpn {label}".encode()).digest(16 * n)
    return [int.from_bytes(data[16 * i : 16 * i + 16], "little") for i in range(n)]


def joined(values: list[int]) -> bytes:
    return b"".join(value.to_bytes(16, "little") for value in values)


def digest(values: list[int]) -> str:
    return hashlib.sha256(joined(values)).hexdigest()


def primal() -> list[dict[str, Any]]:
    cases = []
    for log_table, n in ((0, 3), (5, 9), (16, 40), (17, 41)):  # positions have 16 bits up to 2^16, then 32
        label = f"primal {log_table}"
        seed = joined(blocks(f"{label} seed", 1))
        noise = blocks(f"{label} noise", n)
        out = reference.primal_encode(aes.encrypt, seed, blocks(f"{label} table", 1 << log_table), noise)
        positions = reference.primal_positions(aes.encrypt, seed, n, log_table)
        cases.append(
            {
                "label": label,
                "seed": seed.hex(),
                "log_table": log_table,
                "n": n,
                "first_positions": positions[0],
                "first": joined(out[:1]).hex(),
                "sha256": digest(out),
            }
        )
    return cases


def expand_convolute() -> list[dict[str, Any]]:
    cases = []
    for log_code, weight, n in ((6, 7, 40), (8, 21, 77), (11, 7, 1024)):
        label = f"dual {log_code} {weight}"
        seed = joined(blocks(f"{label} seed", 1))
        vector = blocks(f"{label} vector", 1 << log_code)
        out = reference.expand_convolute(aes.encrypt, seed, vector, weight, n)
        cases.append(
            {
                "label": label,
                "seed": seed.hex(),
                "log_code": log_code,
                "weight": weight,
                "n": n,
                "first": joined(out[:1]).hex(),
                "sha256": digest(out),
            }
        )
    return cases


def correlated_trees() -> list[dict[str, Any]]:
    cases = []
    for depth in (1, 3, 7):
        seed, delta = blocks(f"tree {depth}", 2)
        leaves, sums = reference.correlated_tree(aes.encrypt, TREE_KEY, seed, delta | 1, depth)
        cases.append(
            {
                "depth": depth,
                "seed": joined([seed]).hex(),
                "delta": joined([delta | 1]).hex(),
                "leaves_sha256": digest([leaf & ~1 for leaf in leaves]),
                "sums_sha256": digest(sums),
            }
        )
    return cases


if __name__ == "__main__":
    answers = {
        "primal": primal(),
        "expand_convolute": expand_convolute(),
        "correlated_trees": correlated_trees(),
    }
    PATH.write_text(json.dumps(answers, indent=1) + "\n")
