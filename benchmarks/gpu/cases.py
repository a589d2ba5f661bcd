# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of `make gpu-check`: work on a device, the same on the CPU as its check, and what limits it.

A case prepares its inputs for n items and gives `resident` (inputs and results stay on the device), `end_to_end` (from
arrays of the host to arrays of the host; None where that is no use) and `check`, which compares a sample with the CPU's
bytes and says how many items that were. Keys and operands are fixed: nothing here needs gmpy2.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.gpu import limits
from benchmarks.gpu.limits import Need
from benchmarks.gpu.units import WrongAnswer
from benchmarks.rows import ROOT
from crypsis import bigint, hashing, paillier
from crypsis.cuda import Device

if str(ROOT / "tests") not in sys.path:  # the fixed keys and coins of the tests
    sys.path.append(str(ROOT / "tests"))

Rows = npt.NDArray[np.uint64]
SAMPLE = 64


@dataclass(frozen=True)
class Work:
    """A case ready to run on one device."""

    resident: Callable[[], Any]
    check: Callable[[Any], int]
    end_to_end: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Case:
    """One row of the table. group: what shares a process. items: a batch that fills the device; tiny: for tests."""

    name: str
    group: str
    unit: str
    items: int
    tiny: int
    need: Need
    prepare: Callable[[Device, int], Work]


def same(name: str, got: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> int:
    """How many rows were compared. WrongAnswer names the first that differs."""
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        raise WrongAnswer(f"{name}: {got.dtype}{list(got.shape)}, not {wanted.dtype}{list(wanted.shape)}")
    wrong = np.flatnonzero((got != wanted).reshape(len(got), -1).any(axis=1))
    if len(wrong):
        raise WrongAnswer(f"{name}: row {wrong[0]} of the sample of {len(got)} is not the CPU's")
    return len(got)


def sample(n: int, most: int = SAMPLE) -> npt.NDArray[np.int64]:
    """First, last and spread rows."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


@cache
def modulus(bits: int) -> bigint.Modulus:
    """Odd, of exactly `bits` bits."""
    return bigint.Modulus(random.Random(bits).getrandbits(bits) | 1 << (bits - 1) | 1)


def residues(bits: int, n: int, seed: int) -> Rows:
    """Rows below every modulus of `bits` bits."""
    rows = np.random.default_rng(seed).integers(0, 2**64, (n, bits // 64), dtype=np.uint64)
    rows[:, -1] >>= np.uint64(1)
    return rows


def chosen(device: Device, result: Any, at: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    return device.to_host(result)[at]


# ---- big integers -----------------------------------------------------------------------------------------------


def _powm(bits: int, *, vartime: bool = False) -> Callable[[Device, int], Work]:
    def prepare(device: Device, n: int) -> Work:
        ring, bases, exponents = modulus(bits), residues(bits, n, 1), residues(bits, n, 2)
        function = bigint.powm_vartime if vartime else bigint.powm
        there = device.from_host(bases), device.from_host(exponents)
        out = device.empty(bases.shape, np.uint64)
        at = sample(n, 32)

        def check(result: Any) -> int:
            return same("powm", chosen(device, result, at), function(bases[at], exponents[at], ring))

        def end_to_end() -> Any:
            return device.to_host(function(device.from_host(bases), device.from_host(exponents), ring))

        return Work(lambda: function(*there, ring, out=out), check, end_to_end)

    return prepare


def _mod_mul(bits: int) -> Callable[[Device, int], Work]:
    def prepare(device: Device, n: int) -> Work:
        ring, a, b = modulus(bits), residues(bits, n, 3), residues(bits, n, 4)
        there = device.from_host(a), device.from_host(b)
        out = device.empty(a.shape, np.uint64)
        at = sample(n)

        def check(result: Any) -> int:
            wanted = bigint.mod_mul(a[at], b[at], ring, montgomery=True)
            return same("mod_mul", chosen(device, result, at), wanted)

        def end_to_end() -> Any:
            product = bigint.mod_mul(device.from_host(a), device.from_host(b), ring, montgomery=True)
            return device.to_host(product)

        return Work(lambda: bigint.mod_mul(*there, ring, montgomery=True, out=out), check, end_to_end)

    return prepare


def _fixed_base(bits: int, exponent_bits: int, *, vartime: bool) -> Callable[[Device, int], Work]:
    def prepare(device: Device, n: int) -> Work:
        ring = modulus(bits)
        base = bigint.FixedBase(residues(bits, 1, 5)[0], ring, exponent_bits)
        exponents = np.random.default_rng(6).integers(0, 2**64, (n, exponent_bits // 64), dtype=np.uint64)
        there = device.from_host(exponents)
        out = device.empty((n, bits // 64), np.uint64)
        power = base.powm_vartime if vartime else base.powm
        at = sample(n)

        def check(result: Any) -> int:
            wanted = bigint.powm_vartime(residues(bits, 1, 5)[0], exponents[at], ring)
            return same("FixedBase", chosen(device, result, at), wanted)

        def end_to_end() -> Any:
            return device.to_host(power(device.from_host(exponents)))

        return Work(lambda: power(there, out=out), check, end_to_end)

    return prepare


# ---- Paillier ---------------------------------------------------------------------------------------------------


def _key() -> paillier.PrivateKey:
    from homomorphic_keys import paillier_2048

    key: paillier.PrivateKey = paillier_2048()
    return key


def _numbers(n: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(7).integers(-(2**40), 2**40, n)


def _same_encryption(key: Any, values: npt.NDArray[np.int64], device: Device) -> None:
    """With the same coins the ciphertexts are the CPU's, byte for byte."""
    from cuda_homomorphic import same_coins

    made = []
    for place in ("cpu", device.name):
        with same_coins():
            made.append(key.encrypt(values, device=place).to("cpu").to_bytes())
    if made[0] != made[1]:
        raise WrongAnswer("paillier: the device's ciphertexts are not the CPU's for the same coins")


def _encrypt(*, owner: bool, vartime: bool) -> Callable[[Device, int], Work]:
    def prepare(device: Device, n: int) -> Work:
        private, values = _key(), _numbers(n)
        key: Any = private if owner else private.public_key
        encrypt = key.encrypt_vartime if vartime else key.encrypt
        at = sample(n)

        def check(result: Any) -> int:
            _same_encryption(key, values[:3], device)
            sampled = private.decrypt(result.to("cpu")[at])
            return same("paillier/encrypt", np.asarray(sampled).astype(np.int64), values[at])

        return Work(
            lambda: encrypt(values, device=device.name),
            check,
            lambda: encrypt(values, device=device.name).to("cpu"),
        )

    return prepare


def _blinding(device: Device, n: int) -> Work:
    """The powers hs^a alone, exponents on the device: the kernels of encryption without encoding and coins."""
    key = _key().public_key
    base, ring = key._generator(), key.modulus
    exponents = np.random.default_rng(8).integers(0, 2**64, (n, key.exponent_bits // 64), dtype=np.uint64)
    there, out = device.from_host(exponents), device.empty((n, ring.limbs), np.uint64)
    at = sample(n)

    def check(result: Any) -> int:
        wanted = base.powm(exponents[at], montgomery=True)
        return same("paillier/hs^a", chosen(device, result, at), wanted)

    return Work(lambda: base.powm(there, montgomery=True, out=out), check)


def _ciphertexts(device: Device, n: int) -> tuple[Any, Any, npt.NDArray[np.int64]]:
    """The private key, n ciphertexts on the device (few encryptions, repeated) and their values."""
    private, values = _key(), _numbers(min(n, 1024))
    few = private.encrypt(values, device=device.name)
    index = np.resize(np.arange(len(values)), n)
    return private, few[index], values[index]


def _decrypt(device: Device, n: int) -> Work:
    private, there, values = _ciphertexts(device, n)
    host = there.to("cpu")

    def check(result: Any) -> int:
        return same("paillier/decrypt", np.asarray(result).astype(np.int64), values)

    return Work(lambda: private.decrypt(there), check, lambda: private.decrypt(host.to(device.name)))


def _add(device: Device, n: int) -> Work:
    _, there, _ = _ciphertexts(device, n)
    other = there[np.arange(n)[::-1].copy()]
    hosts, at = (there.to("cpu"), other.to("cpu")), sample(n)

    def check(result: Any) -> int:
        wanted = hosts[0][at] + hosts[1][at]
        got = result.to("cpu")[at].to_ints()
        return same("paillier/add", np.array(got, object), np.array(wanted.to_ints(), object))

    def end_to_end() -> Any:
        return (hosts[0].to(device.name) + hosts[1].to(device.name)).to("cpu")

    return Work(lambda: there + other, check, end_to_end)


# ---- hashing ----------------------------------------------------------------------------------------------------


def _digest(algorithm: str, width: int) -> Callable[[Device, int], Work]:
    def prepare(device: Device, n: int) -> Work:
        messages = np.random.default_rng(width).integers(0, 256, (n, width), dtype=np.uint8)
        there, out = device.from_host(messages), device.empty((n, 32), np.uint8)
        at = sample(n, 4096)

        def check(result: Any) -> int:
            return same(algorithm, chosen(device, result, at), hashing.digest(algorithm, messages[at]))

        def end_to_end() -> Any:
            return device.to_host(hashing.digest(algorithm, device.from_host(messages)))

        return Work(lambda: hashing.digest(algorithm, there, out=out), check, end_to_end)

    return prepare


def _all() -> list[Case]:
    square, half = 4096, 2048  # n^2 and p^2 of a 2048-bit key
    crt = limits.powm(half, 1024, times=2)
    encrypt, encrypt_owner = limits.comb(square, 1024, 8), limits.comb(half, 1024, 8, times=2)
    cases = [
        Case("bigint/powm/2048", "powm", "powers", 1 << 16, 5, limits.powm(2048, 2048), _powm(2048)),
        Case("paillier/encrypt_vartime/2048", "encrypt", "ciphertexts", 1 << 17, 3, encrypt,
             _encrypt(owner=False, vartime=True)),
        Case("bigint/fixed_base_vartime/4096/1024", "encrypt", "powers", 1 << 17, 3, encrypt,
             _fixed_base(4096, 1024, vartime=True)),
        Case("paillier/encrypt/2048", "encrypt", "ciphertexts", 1 << 16, 3, encrypt,
             _encrypt(owner=False, vartime=False)),
        Case("paillier/hs^a/2048", "encrypt", "powers", 1 << 16, 3, encrypt, _blinding),
        Case("paillier/encrypt/2048/owner", "encrypt", "ciphertexts", 1 << 16, 3, encrypt_owner,
             _encrypt(owner=True, vartime=False)),
        Case("hashing/sha256/16", "hashing", "messages", 1 << 24, 70_000, limits.compression("sha256"),
             _digest("sha256", 16)),
        Case("paillier/decrypt/2048", "decrypt", "plaintexts", 1 << 16, 3, crt, _decrypt),
        Case("paillier/add/2048", "decrypt", "sums", 1 << 18, 5, limits.mul(square), _add),
        Case("bigint/mod_mul/2048", "products", "products", 1 << 21, 33, limits.mul(2048), _mod_mul(2048)),
        Case("bigint/mod_mul/4096", "products", "products", 1 << 20, 17, limits.mul(4096), _mod_mul(4096)),
        Case("bigint/powm_vartime/2048", "powm", "powers", 1 << 16, 5, limits.powm(2048, 2048),
             _powm(2048, vartime=True)),
        Case("bigint/powm/4096", "powm", "powers", 1 << 14, 1, limits.powm(4096, 4096), _powm(4096)),
        Case("bigint/powm/1024", "powm", "powers", 1 << 18, 5, limits.powm(1024, 1024), _powm(1024)),
    ]  # fmt: skip
    for algorithm in ("sha256", "sm3", "blake3"):
        for width in (16, 32):
            if (algorithm, width) != ("sha256", 16):
                need, prepare = limits.compression(algorithm), _digest(algorithm, width)
                name = f"hashing/{algorithm}/{width}"
                cases.append(Case(name, "hashing", "messages", 1 << 24, 70_000, need, prepare))
    return cases


CASES = _all()
GROUPS = tuple(dict.fromkeys(case.group for case in CASES))
