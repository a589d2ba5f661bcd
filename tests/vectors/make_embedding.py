# SPDX-License-Identifier: Apache-2.0
"""Write embedding.json: `PYTHONPATH=tests python tests/vectors/make_embedding.py` with crypsis installed.

The example of [CKKS17, 3.2] is published; other encodings and the roundings are those of tests/reference/embedding.py.
The digests are of our own results: every backend, compiler and machine has to give these bits.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from crypsis import embedding
from embedding_cases import PRIMES, random_reals, random_slots
from reference import embedding as reference

PATH = Path(__file__).with_name("embedding.json")


def encoding(label: str, log_n: int, scale: float, slots: list[complex]) -> dict[str, Any]:
    exact = reference.to_coefficients(slots, 1 << log_n)
    return {
        "label": label,
        "log_n": log_n,
        "scale": scale,
        "slots": [[z.real, z.imag] for z in slots],
        "primes": [PRIMES[0], PRIMES[5]],
        "coefficients": [reference.nearest(scale * c) for c in exact],
    }


def published() -> dict[str, Any]:
    """The paper's second slot is at zeta^3, ours at zeta^5, its conjugate: 2 + i in place of 2 - i."""
    case = encoding("CKKS17, 3.2", 2, 64.0, [3 + 4j, 2 + 1j])
    assert case["coefficients"] == [160, 91, 160, 45]
    return case


def generated(log_n: int, scale: float) -> dict[str, Any]:
    slots = random_slots(f"vectors {log_n}", 1 << (log_n - 1)).tolist()
    return encoding(f"N = {1 << log_n}, scale {scale:.3g}", log_n, scale, slots)


def rounding(value: float) -> dict[str, Any]:
    return {
        "value": value.hex(),
        "integer": str(reference.nearest(value)),
        "primes": [*PRIMES, *(2**60 - 173,) * 16],
    }


def digests(log_n: int) -> dict[str, Any]:
    slots = random_slots("digests", 1 << (log_n - 1))
    coefficients = embedding.to_coefficients(slots, log_n, scale=2.0**40, backend="portable")
    back = embedding.decode(coefficients, 3.0, backend="portable")
    return {
        "log_n": log_n,
        "coefficients": hashlib.sha256(coefficients.tobytes()).hexdigest(),
        "slots": hashlib.sha256(back.tobytes()).hexdigest(),
    }


def main() -> None:
    edges = [0.0, 0.5, 1.5, 2.5, 1 - 2.0**-53, 2.0**52 + 1, 2.0**52 - 0.5, 2.0**53 - 1, 2.0**61 - 256]
    edges += [2.0**bits for bits in (61, 62, 123, 185, 999)]
    edges += [float(x) * 2.0**bits for bits in (70, 130, 400) for x in random_reals("roundings", 2)]
    vectors = {
        "source": "written by tests/vectors/make_embedding.py, which says where each answer is from",
        "encodings": [
            published(),
            *(generated(*case) for case in ((3, 2.0**20), (4, 2.0**30), (7, 2.0**24))),
        ],
        "roundings": [rounding(value) for value in edges],
        "digests": [digests(log_n) for log_n in range(embedding.MIN_LOG_N, embedding.MAX_LOG_N + 1)],
    }
    PATH.write_text(json.dumps(vectors, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
