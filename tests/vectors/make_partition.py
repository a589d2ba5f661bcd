# SPDX-License-Identifier: Apache-2.0
"""Write partition.json: `PYTHONPATH=tests python tests/vectors/make_partition.py`.

Nothing is published for these functions: their definitions are ours. Inputs come from SHAKE-128 of a label, answers
from tests/reference; bin bounds from exact fractions.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from reference import partition as reference

PATH = Path(__file__).with_name("partition.json")


def stream(label: str, n: int, width: int) -> list[bytes]:
    data = hashlib.shake_128(f"crypsis partition {label}".encode()).digest(n * width)
    return [data[i * width : (i + 1) * width] for i in range(n)]


def text(rows: list[bytes]) -> str:
    return b"".join(rows).hex()


def main() -> None:
    digests = stream("digests", 24, 16)
    digests += digests[:5] + digests[2:4]  # duplicates
    rows = [int.from_bytes(row, "little") for row in stream("rows", len(digests), 4)]
    binned, order, starts = reference.by_bin(digests, 5)
    records, outer_starts = reference.records(digests, rows, 7)
    keys, inner_starts, row_starts, grouped = reference.group(records, 3)
    tags, tag_starts = stream("tags", 20, 10), [0, 7, 7, 20]
    sorted_tags, tag_order = reference.sort_tags(tags, tag_starts)
    peer, _ = reference.sort_tags(tags[2:5] + stream("peer", 3, 10) + tags[9:14], [0, 6, 6, 11])
    bounds = []
    for n, n_bins, statistical in (
        (0, 3, 40),
        (10, 1, 40),
        (41, 2, 40),
        (100, 7, 40),
        (500, 3, 40),
        (300, 1000, 20),
    ):
        bound = reference.bin_bound(n, n_bins, statistical)
        bounds.append({"n_items": n, "n_bins": n_bins, "statistical": statistical, "bound": bound})
    vectors = {
        "source": "make_partition.py; rows of bytes in hexadecimal",
        "digests": text(digests),
        "rows": rows,
        "by_bin": {"n_bins": 5, "keys": text(binned), "order": order, "starts": starts},
        "records": {"n_bins": 7, "records": text(records), "starts": outer_starts},
        "group": {
            "n_bins": 3,
            "keys": text(keys),
            "starts": inner_starts,
            "row_starts": row_starts,
            "rows": grouped,
        },
        "tags": {"tags": text(tags), "starts": tag_starts, "sorted": text(sorted_tags), "order": tag_order},
        "match": {
            "peer": text(peer),
            "peer_starts": [0, 6, 6, 11],
            "pairs": reference.match(tags, tag_starts, peer, [0, 6, 6, 11]),
        },
        "bin_bound": bounds,
    }
    PATH.write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
