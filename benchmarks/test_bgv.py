# SPDX-License-Identifier: Apache-2.0
"""BGV with RING128 on one core, step by step, and a whole product beside Okamoto-Uchiyama's of the same numbers.

Entries of 16 bits and vectors mod 2^128, as the vertical linear models multiply them. No installed peer has such
products, so that steps stand alone, or beside what memory allows in the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.conftest import SCALE
from benchmarks.rows import Rate
from crypsis import backends, bgv, ntt, okamoto_uchiyama, paillier, rns
from crypsis.bgv import RING128
from crypsis.mpc.learning.linear.products import encoded, forward_slots

pytestmark = pytest.mark.usefixtures("one_core")
RNG = np.random.default_rng(20261123)
COLUMNS = 20
ROWS = 65_536 if SCALE == "full" else 16_384
MAGNITUDE = 1 << 15
RESULTS = 1 << 12  # that a key's owner gets in all: decides the noise that hides them
EXTRA = {"threads": 1, "backend": backends.runnable("rns")[0]}
Words = np.ndarray[Any, np.dtype[np.uint64]]


def uniform(*shape: int) -> Words:
    return RNG.integers(0, 2**64, (*shape, 2), np.uint64)


def integers(words: Words) -> Any:
    """`uint64[..., 2]` as Python's integers."""
    return words[..., 0].astype(object) + (words[..., 1].astype(object) << 64)


class Scene:
    """A key, a matrix and a vector, and every step's input."""

    def __init__(self) -> None:
        self.secret = bgv.SecretKey.generate()
        self.layout = bgv.Layout(RING128, ROWS, COLUMNS)
        self.matrix = RNG.integers(-MAGNITUDE, MAGNITUDE, (ROWS, COLUMNS)).astype(np.int16)
        self.vector = uniform(COLUMNS)
        self.plains = self.layout.plains(self.matrix)
        self.ciphertexts = self.secret.encrypt(self.layout.spread(self.vector))
        self.products = bgv.matmul(self.plains, self.ciphertexts)
        self.wanted = self.matrix.astype(object) @ integers(self.vector) % 2**128
        self.bits = self.layout.forward_noise_bits(MAGNITUDE, ciphertexts=RESULTS)

    def hide(self, products: bgv.Products, masks: Words, coefficients: range) -> bgv.Hidden:
        return bgv.hide(products, self.secret.public_key, masks, self.bits, coefficients=coefficients)

    def opened(self, products: bgv.Products) -> Any:
        """All coefficients, as Python's integers."""
        every = range(RING128.n)
        return integers(
            self.secret.decrypt(
                self.hide(products, np.zeros((len(products), len(every), 2), np.uint64), every)
            )
        )


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


every_place = pytest.mark.parametrize(
    "places", [range(RING128.n), range(1)], ids=["all coefficients", "one coefficient"]
)


def test_encrypt(compare: Any, scene: Scene) -> None:
    """A block of the vector of rows: N values to a ciphertext."""
    values = uniform(4, RING128.n)
    each = bgv.plain(np.eye(len(values), dtype=np.int8)[..., None], RING128)

    def check(ours: bgv.Ciphertexts, peers: Any) -> None:
        assert (scene.opened(bgv.matmul(each, ours)) == integers(values)).all()

    compare(
        "bgv/encrypt/RING128",
        lambda: scene.secret.encrypt(values),
        items=len(values),
        check=check,
        unit="ciphertexts",
        extra=EXTRA,
    )


def test_plain(compare: Any) -> None:
    values = RNG.integers(-MAGNITUDE, MAGNITUDE, (COLUMNS, RING128.n)).astype(np.int16)

    def check(ours: bgv.Plains, peers: Any) -> None:
        primes = np.array(RING128.basis.primes, np.int64)[:, None]
        wanted = (values.astype(np.int64)[:, None] % primes).astype(np.uint64)
        np.testing.assert_array_equal(ntt.inverse(ours.data, RING128.basis), wanted)

    compare(
        "bgv/plain/RING128",
        lambda: bgv.plain(values, RING128),
        items=len(values),
        check=check,
        unit="polynomials",
        extra=EXTRA,
    )


def test_matmul(compare: Any, scene: Scene) -> None:
    """Blocks of 8,192 rows by columns. Plains are read once: the peer reads them and does nothing else."""

    def check(ours: bgv.Products, peers: Any) -> None:
        assert (scene.opened(ours).reshape(-1)[:ROWS] == scene.wanted).all()

    compare(
        f"bgv/matmul {scene.layout.pieces} x {scene.layout.groups}/RING128",
        lambda: bgv.matmul(scene.plains, scene.ciphertexts),
        items=scene.layout.pieces * scene.layout.groups,
        check=check,
        peers={"reading the plains": lambda: scene.plains.data.max()},
        unit="products",
        extra=EXTRA | {"plain_bytes": scene.plains.data.nbytes},
    )


@every_place
def test_hide(compare: Any, scene: Scene, places: range) -> None:
    masks = uniform(len(scene.products), len(places))

    def check(ours: bgv.Hidden, peers: Any) -> None:
        wanted = scene.wanted.reshape(len(masks), -1)[:, : len(places)] + integers(masks)
        assert (integers(scene.secret.decrypt(ours)) == wanted % 2**128).all()

    compare(
        f"bgv/hide {len(places)} coefficients/RING128",
        lambda: scene.hide(scene.products, masks, places),
        items=len(scene.products),
        check=check,
        unit="products",
        extra=EXTRA | {"noise_bits": scene.bits},
    )


@every_place
def test_decrypt(compare: Any, scene: Scene, places: range) -> None:
    masks = uniform(len(scene.products), len(places))
    hidden = scene.hide(scene.products, masks, places)

    def check(ours: Words, peers: Any) -> None:
        wanted = scene.wanted.reshape(len(masks), -1)[:, : len(places)] + integers(masks)
        assert (integers(ours) == wanted % 2**128).all()

    compare(
        f"bgv/decrypt {len(places)} coefficients/RING128",
        lambda: scene.secret.decrypt(hidden),
        items=len(hidden),
        check=check,
        unit="products",
        extra=EXTRA | {"bytes": len(hidden.to_bytes())},
    )


@pytest.mark.parametrize("direction", ["pack", "unpack"])
def test_packing(compare: Any, scene: Scene, direction: str) -> None:
    """Half of a ciphertext to the bits of its primes and back: one core, one implementation."""
    values = scene.ciphertexts.first[:1]
    packed = rns.pack(values, RING128.basis)
    calls: dict[str, Callable[[], Any]] = {
        "pack": lambda: rns.pack(values, RING128.basis),
        "unpack": lambda: rns.unpack(packed, 1, RING128.n, RING128.basis),
    }

    def check(ours: Any, peers: Any) -> None:
        found = rns.unpack(ours, 1, RING128.n, RING128.basis) if direction == "pack" else ours
        np.testing.assert_array_equal(found, values)

    compare(
        f"bgv/{direction}/RING128",
        calls[direction],
        items=values.size,
        check=check,
        peers={"a copy of the residues": values.copy},
        unit="residues",
        extra={"threads": 1, "packed_bytes": len(packed)},
    )


class OkamotoUchiyama:
    """The same matrix's first rows times the same vector under a key of 2048 bits, as training packs them."""

    def __init__(self, scene: Scene, rows: int) -> None:
        self.key = okamoto_uchiyama.generate_keypair(2048)[1]
        self.slots = forward_slots(self.key.public_key, COLUMNS)
        self.rows = rows // self.slots.count * self.slots.count
        shifted = [self.key.encrypt(encoded(scene.vector, 128))]
        for _ in range(1, self.slots.count):
            shifted.append(shifted[-1].multiply_vartime(1 << self.slots.bits))
        self.bases = paillier.concatenate(shifted)
        self.matrix = scene.matrix[: self.rows].reshape(-1, self.slots.count * COLUMNS)

    def product(self, vartime: bool) -> Any:
        return self.bases.rmatmul(self.matrix, vartime=vartime)

    def opened(self, product: Any) -> Any:
        plaintexts, masks = self.slots.masks(len(product))
        total = product + encoded(plaintexts, self.slots.plaintext_bits)
        found = self.key.decrypt_encoded(total, range_bits=self.slots.plaintext_bits)
        return (integers(self.slots.split(found.magnitude)) - integers(masks)) % 2**128

    def peer(self, vartime: bool) -> Callable[[], Rate]:
        def timed() -> Rate:
            start = time.perf_counter()
            self.product(vartime)
            return Rate(self.matrix.size / (time.perf_counter() - start))

        return timed


def test_whole_product(compare: Any, size: Any, scene: Scene) -> None:
    """Ours from the matrix and the vector in the clear to shares: encrypted, encoded, multiplied, hidden, decrypted.

    Okamoto-Uchiyama's is `rmatmul` alone, of ciphertexts that are there, over fewer rows: its rate is per entry too.
    Masks, blinding and decryption, which cost it more than twice as much again, are left out.
    """
    layout = scene.layout
    masks = uniform(layout.pieces, len(layout.forward_coefficients))
    other = OkamotoUchiyama(scene, size(96, 1536))

    def ours() -> Words:
        ciphertexts = scene.secret.encrypt(layout.spread(scene.vector))
        products = bgv.matmul(layout.plains(scene.matrix), ciphertexts)
        hidden = scene.hide(products, masks, layout.forward_coefficients)
        return layout.join(scene.secret.decrypt(hidden))

    def check(share: Words, peers: Any) -> None:
        assert ((integers(share) - integers(layout.join(masks))) % 2**128 == scene.wanted).all()
        for vartime in (False, True):
            assert (other.opened(other.product(vartime)) == scene.wanted[: other.rows]).all()

    compare(
        f"bgv/whole product {ROWS} x {COLUMNS}/RING128",
        ours,
        items=scene.matrix.size,
        check=check,
        peers={
            "Okamoto-Uchiyama's rmatmul": other.peer(False),
            "Okamoto-Uchiyama's rmatmul vartime": other.peer(True),
        },
        unit="entries",
        extra=EXTRA
        | {"peer_rows": other.rows, "peer_key_bits": 2048, "peer_rows_a_ciphertext": other.slots.count},
    )
