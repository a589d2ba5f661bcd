# SPDX-License-Identifier: Apache-2.0
"""What the tests of Paillier and Okamoto-Uchiyama on devices share: fixed keys, the same coins twice, and one program
of all operations that runs in either place."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from crypsis import okamoto_uchiyama, paillier
from crypsis._homomorphic import secret
from crypsis.paillier import Packing, base16, concatenate

SMALL = {"insecure_allow_small_key": True}


@functools.cache
def paillier_256() -> paillier.PrivateKey:
    """A key as `generate_keypair(256)` makes them; no gmpy2 needed."""
    p, q = 0xE04367D803F13E66EEB53CF908C165B7, 0xCA3E126D558E93E7AD1EB430771C3C5F
    h = 0x10274EDBF6351703E28372DE62C1BCBF5A1B100958FCA2C5D65BA79476681926
    return paillier.PrivateKey(paillier.PublicKey(p * q, h=h, **SMALL), p, q)


@functools.cache
def paillier_256_foreign() -> paillier.PrivateKey:
    """The same n alone: blinding by full powers."""
    p, q = 0xE04367D803F13E66EEB53CF908C165B7, 0xCA3E126D558E93E7AD1EB430771C3C5F
    return paillier.PrivateKey(paillier.PublicKey(p * q, **SMALL), p, q)


@functools.cache
def okamoto_uchiyama_768() -> okamoto_uchiyama.PrivateKey:
    """A key as `generate_keypair(768)` makes them."""
    n, g, h, p, t = (
        int(text.replace(" ", ""), 16)
        for text in (
            "b4b5cc3dde2dffb48275c68b5b303794b769b7229527c49996af6af66c2b2a7270dcb8181a5027a33fb7aa249a8abda2"
            "92d62bb0c2990e3c4033577235bdf1e91054cc719ac2dbc7edcd6a01330b3d3086ae332e9100c1c71b02935eba8d3599",
            "180d80852a8f7cd8155356ef9e2ecfedd7110c1e884b4763cb11238e220708116fd9b3628ec340b96599f32f91438f6f"
            "26d2df8ec3982aa0deaa48193568e2ba7a46fd152cd86c717f23815e85a633606742bb87d333b60be847eb855fc09342",
            "42f7eec20f94a10e6b449e2a0bbf63d8bd070eb140449bf649c1f8236fd50dfefc9a761fd1e6170c17b95d62bac9b6d1"
            "d71a94d58f110c6578debcc3b1c6d7f9727fd24726510a78eb3a6e2fda072517a4dffaf5e152f4fd136954439dc63416",
            "d761e1f63e96ecee3a765ceec58d4008e63285210ff5b6eea8a5adc72aefe8d9",
            "deed89946457e5a9de765fc6d269d4a5",
        )
    )
    return okamoto_uchiyama.PrivateKey(okamoto_uchiyama.PublicKey(n, g=g, h=h, **SMALL), p, t)


class _Generator:
    """Stands for /dev/urandom: SHAKE-256 of a counter."""

    def __init__(self) -> None:
        self._calls = 0

    def __call__(self, *_: Any, **__: Any) -> _Generator:
        return self

    def __enter__(self) -> _Generator:
        return self

    def __exit__(self, *_: Any) -> None: ...

    def readinto(self, view: memoryview) -> int:
        self._calls += 1
        view[:] = hashlib.shake_256(b"coins %d" % self._calls).digest(len(view))
        return len(view)


@contextmanager
def same_coins() -> Iterator[None]:
    """Inside, every random number comes from one fixed sequence."""
    secret.open = _Generator()  # type: ignore[attr-defined]  # found before the builtin one
    try:
        yield
    finally:
        del secret.open  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of direct look-ups as a GPU has them take the shim seconds to build."""
    monkeypatch.setattr("crypsis.cuda.bigint.TABLE_BYTES", 1 << 14)


VALUES = np.array([[3, -5, 0, 2**40], [-(2**40), 1, 7, -1], [11, 12, -13, 14]])
FACTORS = np.array([[2, -3, 1, 0], [5, 1, -1, 9], [-7, 8, 2, 1]])
BINS = np.array([[1, 0], [-1, 2], [1, 2]])


def everything(private: Any, device: str) -> dict[str, Any]:
    """By name, the cipher arrays of every operation on `device`, with the same coins at each call."""
    public = private.public_key
    with same_coins():
        c = public.encrypt(VALUES, device=device)
        d = private.encrypt(FACTORS, device=device)
        reals = public.encrypt(VALUES[0] / 4, encoding=base16(), device=device)
        other_reals = public.encrypt(VALUES[1] * 4.5, encoding=base16(), device=device)
        return {
            "encrypt": c,
            "owner": d,
            "encrypt_vartime": public.encrypt_vartime(VALUES[0], device=device),
            "owner_vartime": private.encrypt_vartime(VALUES[0], device=device),
            "several exponents": reals + other_reals,
            "add": c + d,
            "subtract": c - d,
            "broadcast": c + d[0],
            "add_plain": c + FACTORS,
            "from": FACTORS - c,
            "multiply": c * FACTORS,
            "multiply_vartime": c.multiply_vartime(FACTORS),
            "one factor": -3 * c,
            "broadcast factors": c[:, :, None] * np.array([2, -2]),
            "reals": c * 0.25 + 1.5,
            "right": c @ FACTORS.T,
            "left": FACTORS.T @ c,
            "positive": np.abs(FACTORS) @ c[0],
            "vartime matrix": c[1].rmatmul(FACTORS, vartime=True),
            "sum": c.sum(),
            "sum 0": c.sum(0),
            "sum 1": c.sum(1),
            "cumsum": c.cumsum(),
            "cumsum 0": c.cumsum(0),
            "histogram": c.histogram(BINS, 3),
            "running": c[:, 0].histogram(BINS[:, 0], 2, cumulative=True),
            "some rows": c.histogram(BINS, 3, index=[2, 0, 1], mask=np.array([True, False, True])),
            "pack": c.pack(Packing(3, 45)) if public.max_packed_bits >= 135 else c.pack(Packing(2, 45)),
            "exponent": c.at_exponent(-2),
            "rerandomize": (c + d).rerandomize(),
            "full": (c + d).rerandomize(full=True),
            "concatenate": concatenate([c, d]),
            "twice": concatenate([c, c], axis=1),
            "stack": np.stack([c, d], axis=1),
            "slice": c[1:, ::2],
            "chosen": c[[2, 0, 0]],
            "mask": c[VALUES > 0],
            "transpose": c.T,
            "empty": c[:0],
            "empty sum": c[:0].sum(0),
        }


def check_equal(host: dict[str, Any], made: dict[str, Any], device: str) -> None:
    """The arrays of `everything` on `device` are the host's, byte for byte."""
    for name, expected in host.items():
        got = made[name]
        assert (got.device, expected.device) == (device, "cpu"), name
        assert type(got) is type(expected), name
        assert got.shape == expected.shape, name
        assert np.array_equal(got.exponent, expected.exponent), name
        back = got.to("cpu")
        assert type(back) is type(expected), name
        assert (back._rows == expected._rows).all(), name


DECRYPTED = ("encrypt", "subtract", "multiply", "right", "histogram", "pack", "several exponents", "empty")


def numbers(made: dict[str, Any], private: Any) -> dict[str, Any]:
    """Decrypted values of some, and the bytes of what may leave the process."""
    values = {name: private.decrypt(made[name], dtype=object).tolist() for name in DECRYPTED}
    sent = {name: array.to_bytes() for name, array in made.items() if type(array) is paillier.CipherArray}
    return {"values": values, "bytes": sent}
