# SPDX-License-Identifier: Apache-2.0
"""Peers that are importable here, in a process of their own, since one that crashes or hangs must not take ours along.

    python -m crypsis.mpc.bench.runner blake3

Speaks the lines of `peer_process`: an operation with the number of items behind it ("digest 2000"), answered with items
a second by this process's clock and the digest of the answers. Each is written as its users write it: one item at a
time, in a loop.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

from crypsis.mpc.bench import inputs

Answer = tuple[float, str | None]
Operation = Callable[[int], Answer]
MIN_SECONDS = 0.02
PACKAGES = {"nacl": "PyNaCl"}


def timed(n: int, call: Callable[[], Any], digest: Callable[[Any], str] | None = None) -> Answer:
    """Items a second over as many calls as the clock needs, and the digest of the last answer. Where there are several,
    the first warms the caches and is not counted: so it is with ours."""
    calls, begin = 1, time.perf_counter()
    found = call()
    seconds = time.perf_counter() - begin
    if seconds < MIN_SECONDS:
        calls, begin = 0, time.perf_counter()
        while (seconds := time.perf_counter() - begin) < MIN_SECONDS:
            found = call()
            calls += 1
    return n * calls / seconds, digest(found) if digest else None


def _joined(parts: list[bytes]) -> str:
    return inputs.digest(b"".join(parts))


def hashes(new: Callable[[bytes], Any]) -> Operation:
    def run(n: int) -> Answer:
        messages = [row.tobytes() for row in inputs.rows(n)]
        return timed(n, lambda: [new(message).digest() for message in messages], _joined)

    return run


def of_hashlib() -> dict[str, Operation]:
    import hashlib

    return {"sha256": hashes(hashlib.sha256)}


def of_blake3() -> dict[str, Operation]:
    import blake3

    return {"digest": hashes(blake3.blake3)}


def of_cryptography() -> dict[str, Operation]:
    from cryptography.hazmat.primitives.asymmetric import x25519
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    def exchange(n: int) -> Answer:
        private = x25519.X25519PrivateKey.from_private_bytes(inputs.scalar())
        points = [row.tobytes() for row in inputs.rows(n, 32, seed=2)]
        load = x25519.X25519PublicKey.from_public_bytes
        return timed(n, lambda: [private.exchange(load(point)) for point in points], _joined)

    def counter(n: int) -> Answer:
        data, out = inputs.rows(n // 16).tobytes(), bytearray(n + 15)

        def run() -> None:
            encryptor = Cipher(algorithms.AES(inputs.KEY), modes.CTR(bytes(16))).encryptor()
            encryptor.update_into(data, out)

        return timed(n, run, lambda _: inputs.digest(bytes(out[:n])))

    return {"x25519": exchange, "aes_ctr": counter}


def of_nacl() -> dict[str, Operation]:
    from nacl.bindings import crypto_scalarmult

    def exchange(n: int) -> Answer:
        secret, points = inputs.scalar(), [row.tobytes() for row in inputs.rows(n, 32, seed=2)]
        return timed(n, lambda: [crypto_scalarmult(secret, point) for point in points], _joined)

    return {"x25519": exchange}


def of_gmpy2() -> dict[str, Operation]:
    import gmpy2

    def products(n_bits: int) -> Operation:
        def run(n: int) -> Answer:
            modulus = gmpy2.mpz(inputs.modulus(n_bits))
            a = [gmpy2.mpz(x) for x in inputs.numbers(n_bits, n)]
            b = [gmpy2.mpz(x) for x in inputs.numbers(n_bits, n, seed=2)]
            return timed(
                n, lambda: [x * y % modulus for x, y in zip(a, b, strict=True)], inputs.digest_of_numbers
            )

        return run

    def powers(n_bits: int) -> Operation:
        def run(n: int) -> Answer:
            modulus, exponent = gmpy2.mpz(inputs.modulus(n_bits)), gmpy2.mpz(inputs.exponent(n_bits))
            bases = [gmpy2.mpz(x) for x in inputs.numbers(n_bits, n)]
            return timed(
                n, lambda: [gmpy2.powmod(x, exponent, modulus) for x in bases], inputs.digest_of_numbers
            )

        return run

    made = {f"mod_mul_{n_bits}": products(n_bits) for n_bits in (2048, 4096)}
    return made | {f"powm_{n_bits}": powers(n_bits) for n_bits in (1024, 2048)}


def of_phe(n_bits: int) -> dict[str, Operation]:
    """Encryptions have random coins: the process checks its answers itself, by decrypting."""
    from phe import paillier

    public, private = paillier.generate_paillier_keypair(n_length=n_bits)

    def values(n: int) -> list[int]:
        return [value % (1 << 20) - (1 << 19) for value in inputs.numbers(64, n)]

    def checked(n: int, call: Callable[[], list[Any]], wanted: list[int]) -> Answer:
        answer = timed(n, call, lambda found: str(private.decrypt(found[-1])))
        if answer[1] != str(wanted[-1]):
            raise ValueError("wrong answer")
        return answer[0], None

    kept: dict[int, list[Any]] = {}

    def encrypted(n: int) -> list[Any]:
        if n not in kept:
            kept[n] = [public.encrypt(value, r_value=3) for value in values(n)]
        return kept[n]

    def encrypt(n: int) -> Answer:
        plain = values(n)
        return checked(n, lambda: [public.encrypt(value) for value in plain], plain)

    def decrypt(n: int) -> Answer:
        c = encrypted(n)
        rate, found = timed(n, lambda: [private.decrypt(one) for one in c], str)
        if found != str(values(n)):
            raise ValueError("wrong answer")
        return rate, None

    def add(n: int) -> Answer:
        c = encrypted(n)
        return checked(n, lambda: [one + one for one in c], [2 * value for value in values(n)])

    def multiply(n: int) -> Answer:
        c, factors = encrypted(n), [value % (1 << 20) for value in inputs.numbers(64, n, seed=2)]
        wanted = [value * factor for value, factor in zip(values(n), factors, strict=True)]
        return checked(n, lambda: [one * x for one, x in zip(c, factors, strict=True)], wanted)

    return {"encrypt": encrypt, "decrypt": decrypt, "add": add, "multiply": multiply}


MAKERS: dict[str, Callable[..., dict[str, Operation]]] = {
    "hashlib": of_hashlib,
    "blake3": of_blake3,
    "cryptography": of_cryptography,
    "nacl": of_nacl,
    "gmpy2": of_gmpy2,
    "phe": of_phe,
}


def versions(module: str) -> dict[str, str]:
    """Of the package; hashlib is Python's own."""
    try:
        return {PACKAGES.get(module, module): metadata.version(PACKAGES.get(module, module))}
    except metadata.PackageNotFoundError:
        return {}


def main() -> None:
    """Answers until the input ends. What the peer prints goes to stderr."""
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    module, arguments = sys.argv[1], [int(text) for text in sys.argv[2:]]
    try:
        operations = MAKERS[module](*arguments)
    except Exception as error:
        print(json.dumps({"error": f"cannot be used: {error!r}"}), file=output, flush=True)
        return
    print(json.dumps({"ready": True, "versions": versions(module)}), file=output, flush=True)
    for line in sys.stdin:
        try:
            name, count = line.split()
            rate, answer = operations[name](int(count))
            told: dict[str, object] = {"per_second": rate, "answer": answer}
        except Exception as error:
            told = {"error": repr(error)}
        print(json.dumps(told), file=output, flush=True)


if __name__ == "__main__":
    main()
