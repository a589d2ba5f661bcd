# SPDX-License-Identifier: Apache-2.0
"""HEU (sf-heu) on one core, as a process that times itself: runs in .venv-heu, which `make peers` makes.

    .venv-heu/bin/python benchmarks/peers/heu_ops.py ZPaillier 2048

Reads one operation a line, answers with one line of JSON: {"per_second": rate}, after checking the result against
NumPy; {"error": text} otherwise. Operations: encrypt, decrypt, add, multiply, matmul, signed_matmul.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from serve import one_core, rate, serve  # isort: skip

import numpy as np
from heu import numpy as hnp
from heu import phe

N = 256
ROWS, COLUMNS = 30, 200


def operations(schema: str, key_bits: int) -> dict[str, Callable[[], float]]:
    """Each returns operations a second; ValueError for a wrong answer."""
    kind = phe.parse_schema_type(schema)
    kit = hnp.setup(kind, key_bits)
    encryptor, decryptor, evaluator = kit.encryptor(), kit.decryptor(), kit.evaluator()
    rng = np.random.default_rng(1)
    values = rng.integers(-(2**20), 2**20, (N, 1))
    matrix = rng.integers(0, 2**20, (ROWS, COLUMNS))
    factors = rng.integers(0, 2**20, (N, 1))

    def plain(array: np.ndarray) -> Any:
        return kit.array(array, phe.IntegerEncoderParams(1))

    def numbers(ciphertexts: Any) -> np.ndarray:
        found: np.ndarray = decryptor.decrypt(ciphertexts).to_numpy(phe.IntegerEncoder(kind, 1))
        return found

    def run(
        count: int, call: Callable[[], Any], result: Callable[[Any], np.ndarray], wanted: np.ndarray
    ) -> float:
        return count * rate(
            call, lambda found: np.array_equal(np.asarray(result(found)).reshape(wanted.shape), wanted)
        )

    encoded = plain(values)
    encrypted = encryptor.encrypt(encoded)
    vector = encryptor.encrypt(plain(values[:COLUMNS]))
    as_numbers = phe.IntegerEncoder(kind, 1)
    unsigned, signed, small = plain(matrix), plain(matrix - 2**19), plain(factors)
    return {
        "encrypt": lambda: run(N, lambda: encryptor.encrypt(encoded), numbers, values),
        "decrypt": lambda: run(
            N, lambda: decryptor.decrypt(encrypted), lambda m: m.to_numpy(as_numbers), values
        ),
        "add": lambda: run(N, lambda: evaluator.add(encrypted, encrypted), numbers, 2 * values),
        "multiply": lambda: run(N, lambda: evaluator.mul(encrypted, small), numbers, values * factors),
        "matmul": lambda: run(
            ROWS * COLUMNS, lambda: evaluator.matmul(unsigned, vector), numbers, matrix @ values[:COLUMNS]
        ),
        "signed_matmul": lambda: run(
            ROWS * COLUMNS,
            lambda: evaluator.matmul(signed, vector),
            numbers,
            (matrix - 2**19) @ values[:COLUMNS],
        ),
    }


def main() -> None:
    one_core()
    serve(operations(sys.argv[1], int(sys.argv[2])))


if __name__ == "__main__":
    main()
