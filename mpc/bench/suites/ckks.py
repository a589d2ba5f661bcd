# SPDX-License-Identifier: Apache-2.0
"""CKKS at N = 8192 with moduli {60, 40, 40, 60}, beside SEAL (through tenseal.sealapi), TenSEAL and OpenFHE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from crypsis import ckks
from crypsis.mpc.bench.counts import KNOWN, UNKNOWN, Counts, forward, inverse
from crypsis.mpc.bench.limits import least
from crypsis.mpc.bench.peers import Peer, Server
from crypsis.mpc.bench.rows import Limit
from crypsis.mpc.bench.suite import Setting, Suite, Work, near

SUITE = Suite("ckks", "one thread on one core, N = 8192, moduli {60, 40, 40, 60}")
LITERAL = ckks.Literal(13, (60, 40, 40), (60,), 40)
LOG_N, LIMBS = 13, 3
N = 1 << LOG_N
SEAL = Server("SEAL", "tenseal", "tenseal", "seal_ops.py", ("13", "60,40,40,60"))
# OpenFHE takes 55 bits where the others have 60: benchmarks/peers/openfhe_ops.py says why.
OPENFHE = Server("OpenFHE", "openfhe", "openfhe", "openfhe_ops.py", ("13", "55,40,40,60"))
MOST = 1e-4


class Scene:
    """Keys and inputs."""

    def __init__(self) -> None:
        self.secret = ckks.SecretKey.generate(LITERAL)
        self.public = self.secret.public_key(rotations=[1])
        self.x, self.y = np.random.default_rng(1).uniform(-1, 1, (2, N // 2))
        self.cx, self.cy = self.public.encrypt(self.x), self.public.encrypt(self.y)


def _scene(setting: Setting) -> Scene:
    scene: Scene = setting.kept("ckks", Scene)
    return scene


def _peers(operation: str) -> list[Peer]:
    return [Peer("SEAL", SEAL, operation), Peer("OpenFHE", OPENFHE, operation)]


# Operations, of all limbs where no number is said. A forward transform:
FORWARD = forward(LOG_N, 60) + 2 * forward(LOG_N, 40)
# u times both halves of the key, plus noise and message: three transforms, two products.
ENCRYPT = 3 * FORWARD + 2 * LIMBS * N * UNKNOWN
# Of the generator's stream, a coefficient of u and two of noise, in blocks of 16 bytes.
ENCRYPT_BLOCKS = (8 + 2 * 6) / 16
# (x_0 y_0, x_0 y_1 + x_1 y_0, x_1 y_1). A sum of products counts as one product, here and below: it is reduced once.
TENSOR = 3 * LIMBS * N * UNKNOWN
# A key switch (csrc/rns/NOTES.md): each limb back, one of 60 bits, and forward into the three other moduli; sums of
# products by both halves of the key in four limbs. Conversions between moduli are not counted.
DIGITS = inverse(LOG_N, 60) + 2 * inverse(LOG_N, 40) + 5 * forward(LOG_N, 60) + 4 * forward(LOG_N, 40)
SWITCH = DIGITS + 2 * (LIMBS + 1) * N * UNKNOWN
# Its end, for both halves: the special limb back and forward into the others, which are multiplied by 1 / p. With
# rescaling the last limb goes back too, and into the two that are left.
DIVIDE = 2 * (inverse(LOG_N, 60) + FORWARD + LIMBS * N * KNOWN)
RESCALE = 2 * (inverse(LOG_N, 60) + inverse(LOG_N, 40) + forward(LOG_N, 60) + forward(LOG_N, 40))


def decrypt_count(array: ckks.CkksArray) -> tuple[int, Counts]:
    """(limbs that the values need, the product by the key and the transforms back of these)."""
    limbs = array.parameters.decryption_level(array.level, array.scale) + 1
    return limbs, inverse(LOG_N, 60) + (limbs - 1) * inverse(LOG_N, 40) + limbs * N * UNKNOWN


def _by(setting: Setting, count: Counts, what: str) -> Limit | str:
    return setting.machine.by("ntt", count, what)


def _bytes(setting: Setting, read: int, written: int, what: str) -> Limit:
    """Of so many polynomials read and written."""
    each = LIMBS * N * 8
    return setting.machine.by_sum(read * each, written * each, what, in_all=(read + written) * each)


def _work(
    setting: Setting,
    operation: str,
    run: Callable[[], Any],
    wanted: Any,
    bound: Limit | str,
) -> Work:
    scene = _scene(setting)
    return Work(
        1,
        run,
        lambda found: near(f"ckks/{operation}", scene.secret.decrypt(found), wanted, MOST),
        _peers(operation),
        bound,
        extra={"threads": 1},
    )


@SUITE.case("ckks/encrypt/8192", unit="encryptions")
def encrypt(setting: Setting) -> Work:
    scene = _scene(setting)
    limit = least(
        _by(setting, ENCRYPT, "nine transforms and products by the key, encoding not counted"),
        setting.machine.by_aes(N * ENCRYPT_BLOCKS, "the stream of u and the noise"),
    )
    return _work(setting, "encrypt", lambda: scene.public.encrypt(scene.x), scene.x, limit)


@SUITE.case("ckks/decrypt/8192", unit="decryptions")
def decrypt(setting: Setting) -> Work:
    scene = _scene(setting)
    cx = scene.cx
    limbs, count = decrypt_count(cx)
    return Work(
        1,
        lambda: scene.secret.decrypt(cx),
        lambda found: near("ckks/decrypt", found, scene.x, MOST),
        _peers("decrypt"),
        _by(setting, count, f"{limbs} transforms and a product by the key, decoding not counted"),
        extra={"threads": 1},
    )


@SUITE.case("ckks/add/8192", unit="additions")
def add(setting: Setting) -> Work:
    scene = _scene(setting)
    limit = _bytes(setting, 4, 2, "two ciphertexts read and one written")
    return _work(setting, "add", lambda: scene.cx + scene.cy, scene.x + scene.y, limit)


@SUITE.case("ckks/multiply plain/8192", unit="products")
def multiply_plain(setting: Setting) -> Work:
    scene = _scene(setting)
    plain = scene.public.encode(scene.y)
    limit = least(
        _bytes(setting, 3, 2, "a ciphertext and a plaintext read, one written"),
        _by(setting, 2 * LIMBS * N * UNKNOWN, "products of both halves"),
    )
    return _work(
        setting,
        "multiply_plain",
        lambda: scene.cx.multiply(plain, rescale=False),
        scene.x * scene.y,
        limit,
    )


@SUITE.case("ckks/multiply/8192", unit="products")
def multiply(setting: Setting) -> Work:
    scene = _scene(setting)
    count = TENSOR + SWITCH + RESCALE
    limit = _by(setting, count, "twenty transforms, products of halves and by the key")
    return _work(setting, "multiply", lambda: scene.cx * scene.cy, scene.x * scene.y, limit)


@SUITE.case("ckks/rotate/8192", unit="rotations")
def rotate(setting: Setting) -> Work:
    scene = _scene(setting)
    limit = _by(setting, SWITCH + DIVIDE, "twenty transforms and products by the key")
    return _work(setting, "rotate", lambda: scene.cx.rotate(1), np.roll(scene.x, -1), limit)


@SUITE.case("ckks/federated sum of 5 x 40,000", unit="floats")
def federated(setting: Setting) -> Work:
    """Vectors encrypted, added and decrypted, under the parameters for sums; TenSEAL's under its usual ones."""
    clients, floats = setting.size(2, 5, 5), setting.size(1_000, 40_000, 40_000)
    secret = ckks.SecretKey.generate(ckks.AGGREGATE)
    public = secret.public_key()
    data = np.random.default_rng(2).uniform(-1, 1, (clients, floats))
    # Ciphertexts of one limb: those of a client as above, and those of the sum decrypted.
    log_n, bits = ckks.AGGREGATE.log_n, ckks.AGGREGATE.moduli_bits[0]
    n = 1 << log_n
    share = -(-floats // n) / (clients * floats)
    encryptions = clients * (3 * forward(log_n, bits) + 2 * n * UNKNOWN)
    count = encryptions + inverse(log_n, bits) + n * UNKNOWN
    limit = least(
        _by(setting, share * count, "transforms and products of encrypting and decrypting"),
        setting.machine.by_aes(share * clients * n * ENCRYPT_BLOCKS, "the stream of u and the noise"),
    )

    def run() -> Any:
        total = public.encrypt(data[0], packed=True, magnitude=1)
        for row in data[1:]:
            total = total + public.encrypt(row, packed=True, magnitude=1)
        return secret.decrypt(total)

    return Work(
        clients * floats,
        run,
        lambda found: near("ckks/federated sum", found, data.sum(0), 2.0**-10),
        [Peer("TenSEAL", SEAL, f"federated {clients} {floats}")],
        limit,
        extra={"threads": 1},
    )
