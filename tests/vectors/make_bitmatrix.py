# SPDX-License-Identifier: Apache-2.0
"""Write the generated part of bitmatrix.json: `PYTHONPATH=tests python tests/vectors/make_bitmatrix.py`.

Inputs come from SHAKE-128 of a label, answers from tests/reference. The entry "published" was typed from the
documents it names and is kept as it is.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from reference import bitmatrix as reference

PATH = Path(__file__).with_name("bitmatrix.json")


def stream(label: str, n_bytes: int) -> bytes:
    return hashlib.shake_128(f"crypsis bitmatrix {label}".encode()).digest(n_bytes)


def transposes() -> list[dict[str, object]]:
    cases: list[dict[str, object]] = []
    for n_rows, n_columns in ((8, 8), (16, 40), (128, 24), (24, 128)):
        data = stream(f"transpose {n_rows} {n_columns}", n_rows * n_columns // 8)
        width = n_columns // 8
        rows = [data[i * width : (i + 1) * width] for i in range(n_rows)]
        answer = b"".join(reference.transpose(rows, n_columns))
        cases.append({"rows": n_rows, "columns": n_columns, "bits": data.hex(), "transpose": answer.hex()})
    return cases


def products(m: int) -> list[dict[str, str]]:
    width = (m + 7) // 8
    cases = []
    for i in range(4):
        a, b = (int.from_bytes(stream(f"gf {m} {i} {x}", width), "little") % (1 << m) for x in "ab")
        product = reference.multiply(a, b, m)
        cases.append(
            {k: v.to_bytes(width, "little").hex() for k, v in zip("abc", (a, b, product), strict=True)}
        )
    return cases


def main() -> None:
    kept = json.loads(PATH.read_text())["published"]
    generated = {
        "source": "make_bitmatrix.py; bytes in hexadecimal, integers little-endian, c = a b",
        "transposes": transposes(),
        "products": {str(m): products(m) for m in (*range(1, 9), 64, 128)},
    }
    PATH.write_text(json.dumps({"published": kept, "generated": generated}, indent=1) + "\n")


if __name__ == "__main__":
    main()
