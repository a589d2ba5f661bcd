# SPDX-License-Identifier: Apache-2.0
"""CKKS in Microsoft SEAL and TenSEAL on one core, as a process that times itself: runs in .venv-tenseal (`make peers`).

    .venv-tenseal/bin/python benchmarks/peers/seal_ops.py 13 60,40,40,60

SEAL is reached through `tenseal.sealapi`, a call an operation, with its plaintexts encoded beforehand where ours are.
Operations: encrypt (encoding included), decrypt (decoding included), add, multiply_plain, multiply (relinearised and
rescaled), rotate, inner_sum, matvec (64 x 64 by baby steps and giant steps), tenseal_matvec (TenSEAL's own `mm`), and
`federated CLIENTS FLOATS`: TenSEAL's CKKS vectors encrypted, added and decrypted; its rate is in floats of all clients;
federated_error: the largest of the last such sum; floats_per_byte of a serialised TenSEAL vector. list_in, list_out:
what the binding does with a list of `slots` numbers on its way in (one a number too long, which SEAL refuses before it
looks at any), and with numbers on their way out (a list, and an array again).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from serve import one_core, rate, serve  # isort: skip

import numpy as np
import tenseal as ts
import tenseal.sealapi as seal

SCALE = 2.0**40
SIDE, STEP = 64, 8


def operations(log_n: int, bits: list[int]) -> dict[str, Callable[[], float]]:
    """Each returns operations a second; ValueError for a wrong answer."""
    parameters = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
    parameters.set_poly_modulus_degree(2**log_n)
    parameters.set_coeff_modulus(seal.CoeffModulus.Create(2**log_n, bits))
    context = seal.SEALContext(parameters, True, seal.SEC_LEVEL_TYPE.TC128)
    if not context.parameters_set():
        raise ValueError(context.parameters_error_message())
    generator = seal.KeyGenerator(context)
    public, relin, galois = seal.PublicKey(), seal.RelinKeys(), seal.GaloisKeys()
    generator.create_public_key(public)
    generator.create_relin_keys(relin)
    sums = [2**i for i in range(log_n - 1)]
    elements = {pow(3, step % 2 ** (log_n - 1), 2 ** (log_n + 1)) for step in [*sums, *range(1, STEP)]}
    elements |= {pow(3, -STEP * i % 2 ** (log_n - 1), 2 ** (log_n + 1)) for i in range(1, SIDE // STEP)}
    elements |= {pow(3, STEP * i, 2 ** (log_n + 1)) for i in range(1, SIDE // STEP)}
    generator.create_galois_keys(sorted(elements), galois)
    encryptor = seal.Encryptor(context, public)
    decryptor = seal.Decryptor(context, generator.secret_key())
    evaluator, encoder = seal.Evaluator(context), seal.CKKSEncoder(context)
    slots = encoder.slot_count()
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-1, 1, (2, slots))
    as_list = x.tolist()

    def encrypt(values: list[float] | None = None) -> seal.Ciphertext:
        plain, out = seal.Plaintext(), seal.Ciphertext()
        encoder.encode(as_list if values is None else values, SCALE, plain)
        encryptor.encrypt(plain, out)
        return out

    def decrypt(c: seal.Ciphertext) -> np.ndarray:
        plain = seal.Plaintext()
        decryptor.decrypt(c, plain)
        return np.array(encoder.decode_double(plain))

    def near(wanted: np.ndarray) -> Callable[[seal.Ciphertext], bool]:
        return lambda c: bool(np.abs(decrypt(c)[: len(wanted)] - wanted).max() < 1e-4)

    cx, cy = encrypt(), encrypt(y.tolist())
    plain_y = seal.Plaintext()
    encoder.encode(y.tolist(), SCALE, plain_y)

    def add() -> seal.Ciphertext:
        out = seal.Ciphertext()
        evaluator.add(cx, cy, out)
        return out

    def multiply_plain() -> seal.Ciphertext:
        out = seal.Ciphertext()
        evaluator.multiply_plain(cx, plain_y, out)
        return out

    def multiply() -> seal.Ciphertext:
        out = seal.Ciphertext()
        evaluator.multiply(cx, cy, out)
        evaluator.relinearize_inplace(out, relin)
        evaluator.rescale_to_next_inplace(out)
        return out

    def rotate(c: seal.Ciphertext = cx, steps: int = 1) -> seal.Ciphertext:
        out = seal.Ciphertext()
        evaluator.rotate_vector(c, steps, galois, out)
        return out

    def inner_sum() -> seal.Ciphertext:
        total = seal.Ciphertext()
        evaluator.add(cx, rotate(cx, 1), total)
        for step in sums[1:]:
            evaluator.add_inplace(total, rotate(total, step))
        return total

    matrix = rng.uniform(-1, 1, (SIDE, SIDE))
    repeated = np.tile(x[:SIDE], slots // SIDE)
    c_repeated = encrypt(repeated.tolist())
    diagonals = []
    for giant in range(0, SIDE, STEP):
        for baby in range(STEP):
            diagonal = matrix[np.arange(SIDE), (np.arange(SIDE) + giant + baby) % SIDE]
            encoded = seal.Plaintext()
            encoder.encode(np.tile(np.roll(diagonal, giant), slots // SIDE).tolist(), SCALE, encoded)
            diagonals.append(encoded)

    def matvec() -> seal.Ciphertext:
        babies = [c_repeated] + [rotate(c_repeated, baby) for baby in range(1, STEP)]
        total = None
        for giant in range(SIDE // STEP):
            inner = seal.Ciphertext()
            evaluator.multiply_plain(babies[0], diagonals[giant * STEP], inner)
            for baby in range(1, STEP):
                product = seal.Ciphertext()
                evaluator.multiply_plain(babies[baby], diagonals[giant * STEP + baby], product)
                evaluator.add_inplace(inner, product)
            if total is None:
                total = inner
            else:
                evaluator.add_inplace(total, rotate(inner, giant * STEP))
        assert total is not None
        evaluator.rescale_to_next_inplace(total)
        return total

    own = ts.context(ts.SCHEME_TYPE.CKKS, 2**log_n, coeff_mod_bit_sizes=bits, n_threads=1)
    own.global_scale = SCALE
    own_keys: list[bool] = []

    def tenseal_matvec() -> float:
        if not own_keys:
            own.generate_galois_keys()
            own_keys.append(True)
        vector = ts.ckks_vector(own, x[:SIDE].tolist())
        rows = matrix.tolist()
        wanted = x[:SIDE] @ matrix
        return rate(
            lambda: vector.mm(rows), lambda c: bool(np.abs(np.array(c.decrypt()) - wanted).max() < 1e-4)
        )

    errors: list[float] = []

    def federated(clients: int, floats: int) -> float:
        data = rng.uniform(-1, 1, (clients, floats))
        lists = [row.tolist() for row in data]
        start = time.perf_counter()
        total = ts.ckks_vector(own, lists[0])
        for row in lists[1:]:
            total += ts.ckks_vector(own, row)
        found = total.decrypt()
        seconds = time.perf_counter() - start
        errors.append(float(np.abs(np.array(found) - data.sum(0)).max()))
        if errors[-1] > 1e-3:
            raise ValueError("wrong answer")
        return clients * floats / seconds

    def floats_per_byte() -> float:
        return slots / len(ts.ckks_vector(own, as_list).serialize())

    too_long, refused = [*as_list, 0.0], seal.Plaintext()

    def list_in() -> bool:
        try:
            encoder.encode(too_long, SCALE, refused)
        except ValueError:
            return True
        return False

    rotated = np.roll(x, -1)
    known: dict[str, Callable[[], float]] = {
        "encrypt": lambda: rate(encrypt, near(x)),
        "decrypt": lambda: rate(lambda: decrypt(cx), lambda found: bool(np.abs(found - x).max() < 1e-4)),
        "add": lambda: rate(add, near(x + y)),
        "multiply_plain": lambda: rate(multiply_plain, near(x * y)),
        "multiply": lambda: rate(multiply, near(x * y)),
        "rotate": lambda: rate(rotate, near(rotated)),
        "inner_sum": lambda: rate(inner_sum, near(np.full(slots, x.sum()))),
        "matvec": lambda: rate(matvec, near(np.tile(matrix @ x[:SIDE], slots // SIDE))),
        "tenseal_matvec": tenseal_matvec,
        "floats_per_byte": floats_per_byte,
        "federated_error": lambda: errors[-1],
        "list_in": lambda: rate(list_in, bool),
        "list_out": lambda: rate(lambda: np.array(x.tolist()), lambda found: len(found) == slots),
    }

    class Known(dict[str, Callable[[], float]]):
        def __missing__(self, name: str) -> Callable[[], float]:
            kind, clients, floats = name.split()
            if kind != "federated":
                raise KeyError(name)
            return lambda: federated(int(clients), int(floats))

    return Known(known)


def main() -> None:
    one_core()
    serve(operations(int(sys.argv[1]), [int(size) for size in sys.argv[2].split(",")]))


if __name__ == "__main__":
    main()
