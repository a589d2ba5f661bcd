# SPDX-License-Identifier: Apache-2.0
"""Write vole.json: `PYTHONPATH=tests python tests/vectors/make_vole.py`.

Inputs come from SHAKE-128 of a label, answers from tests/reference/vole.py: no published vectors exist for these
kernels. The file fixes what is on the wire and in the trees, so that versions stay compatible.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from reference import vole as reference

PATH = Path(__file__).with_name("vole.json")


def blocks(label: str, n: int) -> list[bytes]:
    data = hashlib.shake_128(f"crypsis vole {label}".encode()).digest(16 * n)
    return [data[16 * i : 16 * i + 16] for i in range(n)]


def digest(parts: list[bytes]) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def trees() -> list[dict[str, Any]]:
    cases = []
    for depth, position in ((1, 0), (2, 3), (5, 17), (7, 64)):
        [seed] = blocks(f"tree {depth}", 1)
        leaves, sums = reference.expand_tree(seed, depth)
        punctured = reference.reconstruct_tree(reference.known_sums(sums, position), position)
        cases.append(
            {
                "depth": depth,
                "seed": seed.hex(),
                "leaves_sha256": digest(leaves),
                "sums": [[side.hex() for side in level] for level in sums],
                "position": position,
                "punctured_sha256": digest(punctured),
            }
        )
    return cases


def small_fields() -> list[dict[str, Any]]:
    cases = []
    for k, first, n_blocks, chosen in (
        (1, 0, 1, True),
        (2, 7, 2, False),
        (3, 0, 1, True),
        (4, 2**40, 3, False),
    ):
        leaves = blocks(f"leaves {k}", sum(1 << depth for depth in reference.tree_depths(k)))
        delta, challenge, *words = blocks(f"others {k}", 2 + n_blocks)
        choices = int.from_bytes(b"".join(words), "little") if chosen else None
        bits, corrections, columns = reference.full(k, leaves, first, n_blocks, choices)
        q = reference.punctured(k, leaves, int.from_bytes(delta, "little"), first, n_blocks, corrections)
        hashes = [reference.hash_column(challenge, column, n_blocks) for column in [*columns, bits]]
        rows = reference.rows(q, n_blocks)
        cases.append(
            {
                "k": k,
                "first_block": first,
                "n_blocks": n_blocks,
                "label": f"leaves {k}",
                "delta": delta.hex(),
                "challenge": challenge.hex(),
                "choices": b"".join(words).hex() if chosen else None,
                "bits": bits.to_bytes(16 * n_blocks, "little").hex(),
                "corrections_sha256": digest([reference.in_tiles(corrections, n_blocks)]),
                "t_sha256": digest(reference.rows(columns, n_blocks)),
                "q_sha256": digest(rows),
                "hashes_sha256": digest(hashes),
                "keys_sha256": digest([reference.random_key(row, None) for row in rows]),
                "tweaked_sha256": digest([reference.random_key(row, 9 + i) for i, row in enumerate(rows)]),
            }
        )
    return cases


if __name__ == "__main__":
    PATH.write_text(json.dumps({"trees": trees(), "small_fields": small_fields()}, indent=1) + "\n")
