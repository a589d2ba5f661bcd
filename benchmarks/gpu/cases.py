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
from crypsis import bigint, hashing, ntt, paillier, rns
from crypsis.cuda import Device

if str(ROOT / "tests") not in sys.path:  # the fixed keys and coins of the tests
    sys.path.append(str(ROOT / "tests"))

Rows = npt.NDArray[np.uint64]
SAMPLE = 64
TEST_BITS = 256


@dataclass(frozen=True)
class Work:
    """A case ready to run on one device."""

    resident: Callable[[], Any]
    check: Callable[[Any], int]
    end_to_end: Callable[[], Any] | None = None


Prepare = Callable[[Device, int, int], Work]


@dataclass(frozen=True)
class Case:
    """One row of the table. items: a batch that fills the device; few: enough to compile its kernels and compare all of
    it. bits: of the modulus, the key or a message, or log2 of the ring degree; `prepare(device, items, bits)` takes
    TEST_BITS too for those of numbers and rings, where a CPU plays the device."""

    name: str
    unit: str
    bits: int
    items: int
    few: int
    need: Need
    prepare: Prepare


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
    """Rows of a result, which is on the device or, of `end_to_end`, on the host."""
    host: npt.NDArray[Any] = result if isinstance(result, np.ndarray) else device.to_host(result)
    return host[at]


# ---- big integers -----------------------------------------------------------------------------------------------


def _powm(*, vartime: bool = False) -> Prepare:
    def prepare(device: Device, n: int, bits: int) -> Work:
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


def _mod_mul(device: Device, n: int, bits: int) -> Work:
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


def _fixed_base(*, vartime: bool) -> Prepare:
    """Exponents of a quarter of the modulus, as Paillier's blinding has them."""

    def prepare(device: Device, n: int, bits: int) -> Work:
        ring, exponent_bits = modulus(bits), bits // 4
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


def _key(bits: int) -> paillier.PrivateKey:
    import cuda_homomorphic
    import homomorphic_keys

    key: paillier.PrivateKey
    key = homomorphic_keys.paillier_2048() if bits == 2048 else cuda_homomorphic.paillier_256()
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


def _encrypt(*, owner: bool, vartime: bool) -> Prepare:
    def prepare(device: Device, n: int, bits: int) -> Work:
        private, values = _key(bits), _numbers(n)
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


def _blinding(device: Device, n: int, bits: int) -> Work:
    """The powers hs^a alone, exponents on the device: the kernels of encryption without encoding and coins."""
    key = _key(bits).public_key
    base, ring = key._generator(), key.modulus
    exponents = np.random.default_rng(8).integers(0, 2**64, (n, key.exponent_bits // 64), dtype=np.uint64)
    there, out = device.from_host(exponents), device.empty((n, ring.limbs), np.uint64)
    at = sample(n)

    def check(result: Any) -> int:
        wanted = base.powm(exponents[at], montgomery=True)
        return same("paillier/hs^a", chosen(device, result, at), wanted)

    return Work(lambda: base.powm(there, montgomery=True, out=out), check)


def _ciphertexts(device: Device, n: int, bits: int) -> tuple[Any, Any, npt.NDArray[np.int64]]:
    """The private key, n ciphertexts on the device (few encryptions, repeated) and their values."""
    private, values = _key(bits), _numbers(min(n, 1024))
    few = private.encrypt(values, device=device.name)
    index = np.resize(np.arange(len(values)), n)
    return private, few[index], values[index]


def _decrypt(device: Device, n: int, bits: int) -> Work:
    private, there, values = _ciphertexts(device, n, bits)
    host = there.to("cpu")

    def check(result: Any) -> int:
        return same("paillier/decrypt", np.asarray(result).astype(np.int64), values)

    return Work(lambda: private.decrypt(there), check, lambda: private.decrypt(host.to(device.name)))


def _add(device: Device, n: int, bits: int) -> Work:
    _, there, _ = _ciphertexts(device, n, bits)
    other = there[np.arange(n)[::-1].copy()]
    hosts, at = (there.to("cpu"), other.to("cpu")), sample(n)

    def check(result: Any) -> int:
        wanted = hosts[0][at] + hosts[1][at]
        return same("paillier/add", result.to("cpu")._rows[at], wanted._rows)

    def end_to_end() -> Any:
        return (hosts[0].to(device.name) + hosts[1].to(device.name)).to("cpu")

    return Work(lambda: there + other, check, end_to_end)


# ---- hashing ----------------------------------------------------------------------------------------------------


def _digest(algorithm: str) -> Prepare:
    def prepare(device: Device, n: int, bits: int) -> Work:
        width = bits // 8
        messages = np.random.default_rng(width).integers(0, 256, (n, width), dtype=np.uint8)
        there, out = device.from_host(messages), device.empty((n, 32), np.uint8)
        at = sample(n, 4096)

        def check(result: Any) -> int:
            return same(algorithm, chosen(device, result, at), hashing.digest(algorithm, messages[at]))

        def end_to_end() -> Any:
            return device.to_host(hashing.digest(algorithm, device.from_host(messages)))

        return Work(lambda: hashing.digest(algorithm, there, out=out), check, end_to_end)

    return prepare


# ---- rings ------------------------------------------------------------------------------------------------------


def _reduced(basis: ntt.Basis, *lead: int) -> Rows:
    limbs = [np.random.default_rng(p).integers(0, p, (*lead, basis.n), np.uint64) for p in basis.primes]
    return np.ascontiguousarray(np.stack(limbs, axis=-2))


def _transform(*, inverse: bool) -> Prepare:
    """An item is a limb of N residues; four primes."""

    def prepare(device: Device, n: int, bits: int) -> Work:
        log_n = 5 if bits == TEST_BITS else bits
        basis = ntt.Basis(log_n, ntt.find_primes(log_n, [60, 50, 40, 60]))
        function = ntt.inverse if inverse else ntt.forward
        values = _reduced(basis, -(-n // 4))
        there = device.from_host(values)
        out = device.empty(values.shape, np.uint64)
        at = sample(len(values), 4)

        def check(result: Any) -> int:
            return 4 * same("ntt", chosen(device, result, at), function(values[at], basis))

        def end_to_end() -> Any:
            return device.to_host(function(device.from_host(values), basis))

        return Work(lambda: function(there, basis, out=out), check, end_to_end)

    return prepare


def _switch_key(device: Device, n: int, bits: int) -> Work:
    """Eight moduli in digits of two, two special ones: an item is a polynomial of 8 limbs, 4 digits of 10 each."""
    log_n = 5 if bits == TEST_BITS else bits
    primes = ntt.find_primes(log_n, [60, *[40] * 7, 60, 60])
    chain = rns.Chain(log_n, primes[:8], primes[8:], dnum=4)
    c, key = _reduced(chain.basis(7), n), _reduced(chain.full(7), 4, 2)
    there, key_there = device.from_host(c), device.from_host(key)
    out = device.empty((n, 2, 8, chain.n), np.uint64)
    at = sample(n, 2)

    def check(result: Any) -> int:
        return same("rns", chosen(device, result, at), rns.switch_key(c[at], key, chain, 7))

    return Work(lambda: rns.switch_key(there, key_there, chain, 7, out=out), check)


def _all() -> list[Case]:
    square, half = 4096, 2048  # n^2 and p^2 of a 2048-bit key
    crt = limits.powm(half, 1024, times=2)
    blind, blind_owner = limits.comb(square, 1024, 8), limits.comb(half, 1024, 8, times=2)
    cases = [
        Case("bigint/powm/2048", "powers", 2048, 1 << 16, 5, limits.powm(2048, 2048), _powm()),
        Case("bigint/powm/4096", "powers", 4096, 1 << 14, 3, limits.powm(4096, 4096), _powm()),
        Case("bigint/powm/1024", "powers", 1024, 1 << 18, 5, limits.powm(1024, 1024), _powm()),
        Case(
            "bigint/powm_vartime/2048",
            "powers",
            2048,
            1 << 16,
            5,
            limits.powm(2048, 2048),
            _powm(vartime=True),
        ),
        Case("bigint/mod_mul/2048", "products", 2048, 1 << 21, 33, limits.mul(2048), _mod_mul),
        Case("bigint/mod_mul/4096", "products", 4096, 1 << 20, 17, limits.mul(4096), _mod_mul),
        Case("bigint/fixed_base/4096", "powers", square, 1 << 16, 3, blind, _fixed_base(vartime=False)),
        Case(
            "bigint/fixed_base_vartime/4096", "powers", square, 1 << 17, 3, blind, _fixed_base(vartime=True)
        ),
    ]
    for name, count, owner, vartime in (
        ("encrypt", 1 << 16, False, False),
        ("encrypt_vartime", 1 << 17, False, True),
        ("encrypt_owner", 1 << 16, True, False),
    ):
        need, prepare = blind_owner if owner else blind, _encrypt(owner=owner, vartime=vartime)
        cases.append(Case(f"paillier/{name}/2048", "ciphertexts", 2048, count, 3, need, prepare))
    cases += [
        Case("paillier/blinding/2048", "powers", 2048, 1 << 16, 3, blind, _blinding),
        Case("paillier/decrypt/2048", "plaintexts", 2048, 1 << 16, 3, crt, _decrypt),
        Case("paillier/add/2048", "sums", 2048, 1 << 18, 5, limits.mul(square), _add),
    ]
    for algorithm in hashing.ALGORITHMS:
        for width in (16, 32):
            need, prepare = limits.compression(algorithm), _digest(algorithm)
            name = f"hashing/{algorithm}/{width}"
            cases.append(Case(name, "messages", 8 * width, 1 << 24, 70_000, need, prepare))
    for log_n, count in ((13, 1 << 14), (16, 1 << 12)):
        for name, prepare in (("forward", _transform(inverse=False)), ("inverse", _transform(inverse=True))):
            need = limits.transforms(log_n)
            cases.append(Case(f"ntt/{name}/{log_n}", "limbs", log_n, count, 8, need, prepare))
    # Back: 8 limbs and 2 times 2; forward: 4 digits of 10 limbs but their own 8, and 2 times 8.
    need = limits.transforms(14, 8 + 4 + 32 + 16)
    cases.append(Case("rns/switch_key/14", "key switches", 14, 1 << 7, 2, need, _switch_key))
    return cases


CASES = {case.name: case for case in _all()}
