# SPDX-License-Identifier: Apache-2.0
"""Write sampling.json: `PYTHONPATH=tests python tests/vectors/make_sampling.py`.

Streams are SHAKE-128 of a label, answers those of tests/reference/sampling.py: no published vectors exist. The file
fixes what a seed stands for: parties of different versions expand the same keys from it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from embedding_cases import PRIMES
from reference import sampling as reference

PATH = Path(__file__).with_name("sampling.json")
N = 21


def stream(label: str, n_bytes: int) -> bytes:
    return hashlib.shake_128(f"crypsis sampling {label}".encode()).digest(n_bytes)


def main() -> None:
    vectors = {
        "source": "streams: SHAKE-128 of 'crypsis sampling <name>'; answers: tests/reference/sampling.py; written by "
        "tests/vectors/make_sampling.py",
        "n": N,
        "primes": PRIMES,
        "uniform": [reference.uniform(stream("uniform", 16 * N), p) for p in PRIMES],
        "flood": {
            str(bits): [reference.flood(stream("flood", 16 * N), bits, p) for p in PRIMES]
            for bits in (0, 1, 40, 63, 64, 100)
        },
        "ternary": reference.ternary(stream("ternary", 8 * N)),
        "binomial": reference.binomial(stream("binomial", 6 * N)),
    }
    PATH.write_text(json.dumps(vectors) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
