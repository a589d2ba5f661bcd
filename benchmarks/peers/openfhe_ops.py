# SPDX-License-Identifier: Apache-2.0
"""CKKS in OpenFHE on one core, as a process that times itself: runs in .venv-openfhe (`make peers`; CPython 3.10 only).

    .venv-openfhe/bin/python benchmarks/peers/openfhe_ops.py 13 55,40,40,60

The last size is SEAL's special prime; OpenFHE chooses its own auxiliary moduli (hybrid key switching). A first size
of 60 makes it take two of them, above what 128 bits allow at these ring degrees: 55 works. Scaling is manual, as in
SEAL, so that operations are the same ones. Operations: as in seal_ops.py, without TenSEAL's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from serve import one_core, rate, serve  # isort: skip

import numpy as np
import openfhe as fhe

SIDE, STEP = 64, 8


def operations(log_n: int, bits: list[int]) -> dict[str, Callable[[], float]]:
    """Each returns operations a second; ValueError for a wrong answer."""
    parameters = fhe.CCParamsCKKSRNS()
    parameters.SetRingDim(2**log_n)
    parameters.SetMultiplicativeDepth(len(bits) - 2)
    parameters.SetScalingModSize(bits[1])
    parameters.SetFirstModSize(bits[0])
    parameters.SetScalingTechnique(fhe.FIXEDMANUAL)
    parameters.SetSecurityLevel(fhe.HEStd_128_classic)
    parameters.SetNumLargeDigits(
        len(bits) - 1
    )  # a digit a modulus, as in SEAL: N = 8192 leaves no room for larger ones
    parameters.SetBatchSize(2 ** (log_n - 1))
    context = fhe.GenCryptoContext(parameters)
    for feature in (fhe.PKE, fhe.KEYSWITCH, fhe.LEVELEDSHE, fhe.ADVANCEDSHE):
        context.Enable(feature)
    keys = context.KeyGen()
    context.EvalMultKeyGen(keys.secretKey)
    steps = [*range(1, STEP), *range(STEP, SIDE, STEP)]
    context.EvalRotateKeyGen(keys.secretKey, steps)
    context.EvalSumKeyGen(keys.secretKey)
    slots = 2 ** (log_n - 1)
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-1, 1, (2, slots))
    as_list = x.tolist()

    def encrypt(values: list[float] | None = None) -> fhe.Ciphertext:
        plain = context.MakeCKKSPackedPlaintext(as_list if values is None else values)
        return context.Encrypt(keys.publicKey, plain)

    def decrypt(c: fhe.Ciphertext) -> np.ndarray:
        plain = context.Decrypt(c, keys.secretKey)
        plain.SetLength(slots)
        return np.array(plain.GetRealPackedValue())

    def near(wanted: np.ndarray) -> Callable[[fhe.Ciphertext], bool]:
        return lambda c: bool(np.abs(decrypt(c)[: len(wanted)] - wanted).max() < 1e-4)

    cx, cy = encrypt(), encrypt(y.tolist())
    plain_y = context.MakeCKKSPackedPlaintext(y.tolist())
    matrix = rng.uniform(-1, 1, (SIDE, SIDE))
    repeated = np.tile(x[:SIDE], slots // SIDE)
    c_repeated = encrypt(repeated.tolist())
    diagonals = []
    for giant in range(0, SIDE, STEP):
        for baby in range(STEP):
            diagonal = matrix[np.arange(SIDE), (np.arange(SIDE) + giant + baby) % SIDE]
            plain = context.MakeCKKSPackedPlaintext(np.tile(np.roll(diagonal, giant), slots // SIDE).tolist())
            diagonals.append(plain)

    def matvec() -> fhe.Ciphertext:
        """With hoisted baby steps, OpenFHE's fast rotation."""
        digits = context.EvalFastRotationPrecompute(c_repeated)
        babies = [c_repeated]
        babies += [
            context.EvalFastRotation(c_repeated, baby, 2 * 2**log_n, digits) for baby in range(1, STEP)
        ]
        total = None
        for giant in range(SIDE // STEP):
            inner = context.EvalMult(babies[0], diagonals[giant * STEP])
            for baby in range(1, STEP):
                context.EvalAddInPlace(inner, context.EvalMult(babies[baby], diagonals[giant * STEP + baby]))
            if total is None:
                total = inner
            else:
                context.EvalAddInPlace(total, context.EvalRotate(inner, giant * STEP))
        return context.Rescale(total)

    return {
        "encrypt": lambda: rate(encrypt, near(x)),
        "decrypt": lambda: rate(lambda: decrypt(cx), lambda found: bool(np.abs(found - x).max() < 1e-4)),
        "add": lambda: rate(lambda: context.EvalAdd(cx, cy), near(x + y)),
        "multiply_plain": lambda: rate(lambda: context.EvalMult(cx, plain_y), near(x * y)),
        "multiply": lambda: rate(lambda: context.Rescale(context.EvalMult(cx, cy)), near(x * y)),
        "rotate": lambda: rate(lambda: context.EvalRotate(cx, 1), near(np.roll(x, -1))),
        "inner_sum": lambda: rate(lambda: context.EvalSum(cx, slots), near(np.full(slots, x.sum()))),
        "matvec": lambda: rate(matvec, near(np.tile(matrix @ x[:SIDE], slots // SIDE))),
    }


def main() -> None:
    one_core()
    serve(operations(int(sys.argv[1]), [int(size) for size in sys.argv[2].split(",")]))


if __name__ == "__main__":
    main()
