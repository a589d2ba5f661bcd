# SPDX-License-Identifier: Apache-2.0
"""Write rns.json: `PYTHONPATH=tests python tests/vectors/make_rns.py`.

Inputs come from SHAKE-128 of a label, answers from tests/reference/rns.py: no published vectors exist. All polynomials
are coefficients. The file fixes digits and rounding: ciphertexts and keys outlive a version.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reference import rns as reference

PATH = Path(__file__).with_name("rns.json")
LOG_N = 3


def primes_below(bits: int, count: int) -> list[int]:
    """The largest primes below 2^bits that are 1 mod 2N."""
    found: list[int] = []
    candidate = (1 << bits) - (1 << (LOG_N + 1)) + 1
    while len(found) < count:
        if all(pow(base, candidate - 1, candidate) == 1 for base in (2, 3, 5, 7, 11, 13)):
            found.append(candidate)
        candidate -= 1 << (LOG_N + 1)
    return found


def polynomial(label: str, moduli: Sequence[int]) -> reference.Residues:
    n = 1 << LOG_N
    stream = hashlib.shake_128(f"crypsis rns {label}".encode()).digest(16 * n * len(moduli))
    words = [int.from_bytes(stream[16 * i : 16 * i + 16], "little") for i in range(n * len(moduli))]
    return [[w % m for w in words[n * i : n * i + n]] for i, m in enumerate(moduli)]


def case(
    label: str, moduli: list[int], special: list[int], dnum: int, level: int, galois: int
) -> dict[str, Any]:
    alpha = -(-len(moduli) // dnum)
    chain = reference.Chain(tuple(moduli), tuple(special), alpha)
    left, whole = moduli[: level + 1], moduli + special
    c = polynomial(label, left)
    key = [[polynomial(f"{label} key {j} {half}", whole) for half in range(2)] for j in range(dnum)]
    digits = reference.decompose(c, chain, level)
    product = reference.inner_product(digits, key, chain, level, galois)
    switched = [reference.divide_special(half, chain, level) for half in product]
    return {
        "label": label,
        "log_n": LOG_N,
        "moduli": moduli,
        "special": special,
        "dnum": dnum,
        "level": level,
        "galois": galois,
        "c": c,
        "key": key,
        "digits": [reference.reduce(digit, chain.full(level)) for digit in digits],
        "product": product,
        "switched": switched,
        "rescaled": [reference.rescale(half, chain, level) for half in switched] if level else None,
        "compose": [value.hex() for value in reference.compose(c, chain, level)],
    }


def main() -> None:
    p60, p40, p30 = primes_below(60, 4), primes_below(40, 4), primes_below(30, 2)
    cases = [
        case("three digits", [p60[1], p40[0], p40[1]], [p60[0]], 3, 2, 1),
        case("a level below", [p60[1], p40[0], p40[1]], [p60[0]], 3, 1, 5),
        case("digits of two", [p60[2], p40[0], p30[0], p40[1]], [p60[0], p60[1]], 2, 2, 15),
        case("one digit", [p40[2], p40[3]], [p40[0], p40[1]], 1, 1, 3),
        case("one modulus", [p30[1]], [p30[0]], 1, 0, 7),
    ]
    assert_products(cases)
    text = json.dumps({"source": "make_rns.py; coefficients, residues modulo each modulus", "cases": cases})
    PATH.write_text(text + "\n")


def assert_products(cases: list[dict[str, Any]]) -> None:
    """No digit's product may exceed that of the special moduli: what chains refuse."""
    for one in cases:
        alpha = -(-len(one["moduli"]) // one["dnum"])
        groups = [one["moduli"][i : i + alpha] for i in range(0, len(one["moduli"]), alpha)]
        if max(map(math.prod, groups)) > math.prod(one["special"]):
            raise ValueError(f"{one['label']}: a digit exceeds the special moduli")


if __name__ == "__main__":
    main()
