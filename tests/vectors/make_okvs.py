# SPDX-License-Identifier: Apache-2.0
"""Write okvs.json: `PYTHONPATH=tests python tests/vectors/make_okvs.py`.

Inputs come from SHAKE-128 of a label, answers from tests/reference/okvs.py: no published vectors exist, every
implementation of the papers has columns and order of its own. The file fixes ours: parties of different versions agree
on it or compute nonsense.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from reference import okvs as reference

PATH = Path(__file__).with_name("okvs.json")
# label, keys, sparse, dense, field, with fill. The tight ones leave a core to elimination.
CASES = (
    ("plain", 40, 80, 3, 128, False),
    ("plain", 40, 80, 3, 64, False),
    ("filled", 33, 70, 2, 128, True),
    ("filled", 33, 70, 2, 64, True),
    ("tight", 30, 33, 6, 128, True),
    ("tight", 30, 33, 6, 64, False),
    ("smallest", 3, 3, 4, 128, True),
    ("one key", 1, 3, 1, 64, False),
    ("no key", 0, 3, 1, 128, True),
)


def data(label: str, n: int, width: int) -> list[bytes]:
    stream = hashlib.shake_128(f"crypsis okvs {label}".encode()).digest(n * width)
    return [stream[width * i : width * (i + 1)] for i in range(n)]


def numbers(blocks: list[bytes]) -> list[int]:
    return [int.from_bytes(block, "little") for block in blocks]


def digest(values: list[int], width: int) -> str:
    return hashlib.sha256(b"".join(value.to_bytes(width, "little") for value in values)).hexdigest()


def case(name: str, n: int, sparse: int, dense: int, field: int, filled: bool) -> dict[str, Any]:
    """The first of the labels `<name> <field> 0`, `... 1` and so on for which there is a table."""
    shape = reference.Shape(sparse, dense, field)
    width = field // 8
    for attempt in range(100):
        label = f"{name} {field} {attempt}"
        seed = data(f"{label} seed", 1, 16)[0]
        keys, values = data(f"{label} keys", n, 16), data(f"{label} values", n, width)
        fill = numbers(data(f"{label} fill", shape.columns, width)) if filled else None
        try:
            table = reference.encode(keys, numbers(values), shape, seed, fill)
        except reference.NoTable:
            continue
        places = [reference.columns(seed, key, sparse) for key in keys]
        return {
            "label": label,
            "n": n,
            "sparse": sparse,
            "dense": dense,
            "field": field,
            "fill": filled,
            "core_rows": len(reference.peel(places, sparse)[1]),
            "first_columns": places[:1],
            "first_element": [f"{reference.element(seed, key, field):0{2 * width}x}" for key in keys[:1]],
            "dense_columns": [f"{value:0{2 * width}x}" for value in table[sparse:]],
            "sha256": digest(table, width),
        }
    raise RuntimeError(f"no table for {name}: choose other sizes")


def main() -> None:
    answers = {
        "source": "inputs: SHAKE-128 of 'crypsis okvs <label> seed|keys|values|fill'; answers: "
        "tests/reference/okvs.py; written by tests/vectors/make_okvs.py; numbers in big-endian hexadecimal",
        "cases": [case(*given) for given in CASES],
    }
    PATH.write_text(json.dumps(answers, indent=1) + "\n")


if __name__ == "__main__":
    main()
