# SPDX-License-Identifier: Apache-2.0
"""Write ntt.json: `PYTHONPATH=tests python tests/vectors/make_ntt.py`.

`direct`: coefficients from SHAKE-128 of a label, values by evaluating the polynomial at every odd power of the smallest
primitive root (tests/reference/ntt.py, `direct`, which shares nothing with a fast transform). No published vectors have
this order and this root: implementations differ in both. `primes`: those for N = 4096 (36, 36, 37 bits) are published,
the default moduli of Microsoft SEAL (native/src/seal/util/globals.cpp: 0xffffee001, 0xffffc4001, 0x1ffffe0001); the
others are those that CKKS is compared with.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from reference import ntt as reference

PATH = Path(__file__).with_name("ntt.json")
CASES = ((2, 5), (3, 8), (4, 30), (5, 40), (6, 49), (6, 50), (7, 57), (7, 60), (8, 45), (8, 60))
PRIMES = ((13, (60, 40, 40, 60)), (12, (36, 36, 37)), (14, (60, 40, 40, 40, 40, 40, 40, 40, 60)))


def case(log_n: int, bits: int) -> dict[str, Any]:
    prime = reference.find_primes(log_n, [bits])[0]
    stream = hashlib.shake_128(f"crypsis ntt {log_n} {bits}".encode()).digest(16 << log_n)
    words = [int.from_bytes(stream[16 * i : 16 * i + 16], "little") for i in range(1 << log_n)]
    coefficients = [word % prime for word in words]
    return {
        "log_n": log_n,
        "prime": prime,
        "root": reference.smallest_root(log_n, prime),
        "coefficients": coefficients,
        "values": reference.direct(coefficients, log_n, prime),
    }


def main() -> None:
    vectors = {
        "source": "tests/vectors/make_ntt.py: direct evaluation, N^2 products",
        "primes": [
            {"log_n": log_n, "bits": list(bits), "primes": reference.find_primes(log_n, bits)}
            for log_n, bits in PRIMES
        ],
        "direct": [case(*parameters) for parameters in CASES],
    }
    PATH.write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
