# SPDX-License-Identifier: Apache-2.0
"""Paillier by a key of the tests: encryption, decryption, sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.gpu import limits
from benchmarks.gpu.cases.base import Case, Prepare, Work, chosen, same, sample
from benchmarks.gpu.cases.bigint import BLIND
from benchmarks.gpu.units import WrongAnswer
from crypsis import paillier
from crypsis.cuda import Device


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


OWNER = limits.comb(2048, 1024, 8, times=2)
"""The same powers mod p^2 and q^2."""
CASES = (
    Case(
        "paillier/encrypt/2048", "ciphertexts", 2048, 1 << 16, 3, BLIND, _encrypt(owner=False, vartime=False)
    ),
    Case(
        "paillier/encrypt_vartime/2048",
        "ciphertexts",
        2048,
        1 << 17,
        3,
        BLIND,
        _encrypt(owner=False, vartime=True),
    ),
    Case(
        "paillier/encrypt_owner/2048",
        "ciphertexts",
        2048,
        1 << 16,
        3,
        OWNER,
        _encrypt(owner=True, vartime=False),
    ),
    Case("paillier/blinding/2048", "powers", 2048, 1 << 16, 3, BLIND, _blinding),
    Case("paillier/decrypt/2048", "plaintexts", 2048, 1 << 16, 3, limits.powm(2048, 1024, times=2), _decrypt),
    Case("paillier/add/2048", "sums", 2048, 1 << 18, 5, limits.mul(4096), _add),
)
