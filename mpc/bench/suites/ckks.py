# SPDX-License-Identifier: Apache-2.0
"""CKKS at N = 8192 with moduli {60, 40, 40, 60}, beside SEAL (through tenseal.sealapi), TenSEAL and OpenFHE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from crypsis import ckks
from crypsis.mpc.bench.peers import Peer, Server
from crypsis.mpc.bench.rows import Limit
from crypsis.mpc.bench.suite import Setting, Suite, Work, near
from crypsis.mpc.bench.suites.kernels import BUTTERFLY

SUITE = Suite("ckks", "one thread on one core, N = 8192, moduli {60, 40, 40, 60}")
LITERAL = ckks.Literal(13, (60, 40, 40), (60,), 40)
N, LIMBS = 1 << 13, 3
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


def _transforms(setting: Setting, count: int) -> Limit | None:
    """Items a second if an item were `count` transforms of a limb and nothing else."""
    products = count * BUTTERFLY * 13 * N / 2
    return setting.machine.by_products(products, products, f"{count} transforms, three products a butterfly")


def _bytes(setting: Setting, polynomials: int, what: str) -> Limit:
    """Items a second if an item were that many polynomials read or written and nothing else."""
    n_bytes = polynomials * LIMBS * N * 8
    return setting.machine.by_bytes(n_bytes, what, in_all=n_bytes)


def _work(
    setting: Setting,
    operation: str,
    run: Callable[[], Any],
    wanted: Any,
    limit: Limit | None,
) -> Work:
    scene = _scene(setting)
    return Work(
        1,
        run,
        lambda found: near(f"ckks/{operation}", scene.secret.decrypt(found), wanted, MOST),
        _peers(operation),
        limit,
        extra={"threads": 1},
    )


@SUITE.case("ckks/encrypt/8192", unit="encryptions")
def encrypt(setting: Setting) -> Work:
    scene = _scene(setting)
    limit = _transforms(setting, 4 * LIMBS)
    return _work(setting, "encrypt", lambda: scene.public.encrypt(scene.x), scene.x, limit)


@SUITE.case("ckks/decrypt/8192", unit="decryptions")
def decrypt(setting: Setting) -> Work:
    scene = _scene(setting)
    return Work(
        1,
        lambda: scene.secret.decrypt(scene.cx),
        lambda found: near("ckks/decrypt", found, scene.x, MOST),
        _peers("decrypt"),
        _transforms(setting, LIMBS),
        extra={"threads": 1},
    )


@SUITE.case("ckks/add/8192", unit="additions")
def add(setting: Setting) -> Work:
    scene = _scene(setting)
    limit = _bytes(setting, 6, "two ciphertexts read and one written")
    return _work(setting, "add", lambda: scene.cx + scene.cy, scene.x + scene.y, limit)


@SUITE.case("ckks/multiply plain/8192", unit="products")
def multiply_plain(setting: Setting) -> Work:
    scene = _scene(setting)
    plain = scene.public.encode(scene.y)
    limit = _bytes(setting, 5, "a ciphertext and a plaintext read, one written")
    return _work(
        setting,
        "multiply_plain",
        lambda: scene.cx.multiply(plain, rescale=False),
        scene.x * scene.y,
        limit,
    )


# Key switching: each limb back from its transform and into the three other moduli, and both halves divided by the
# special prime: one transform back and LIMBS forward each.
SWITCH = LIMBS + LIMBS * LIMBS + 2 * (1 + LIMBS)


@SUITE.case("ckks/multiply/8192", unit="products")
def multiply(setting: Setting) -> Work:
    scene = _scene(setting)
    limit = _transforms(setting, SWITCH + 2 * LIMBS)  # rescaling: one back and two forward in each half
    return _work(setting, "multiply", lambda: scene.cx * scene.cy, scene.x * scene.y, limit)


@SUITE.case("ckks/rotate/8192", unit="rotations")
def rotate(setting: Setting) -> Work:
    scene = _scene(setting)
    limit = _transforms(setting, SWITCH)
    return _work(setting, "rotate", lambda: scene.cx.rotate(1), np.roll(scene.x, -1), limit)


@SUITE.case("ckks/federated sum of 5 x 40,000", unit="floats")
def federated(setting: Setting) -> Work:
    """Vectors encrypted, added and decrypted, under the parameters for sums; TenSEAL's under its usual ones."""
    clients, floats = setting.size(2, 5, 5), setting.size(1_000, 40_000, 40_000)
    secret = ckks.SecretKey.generate(ckks.AGGREGATE)
    public = secret.public_key()
    data = np.random.default_rng(2).uniform(-1, 1, (clients, floats))

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
        extra={"threads": 1},
    )
