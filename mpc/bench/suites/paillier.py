# SPDX-License-Identifier: Apache-2.0
"""Paillier and Okamoto-Uchiyama with keys of 2048 bits, beside python-paillier and HEU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from crypsis import okamoto_uchiyama, paillier
from crypsis.mpc.bench import counts
from crypsis.mpc.bench.counts import Counts, fixed_power, power, product
from crypsis.mpc.bench.peers import Peer, Server
from crypsis.mpc.bench.rows import Limit
from crypsis.mpc.bench.suite import Setting, Suite, Work, same

SUITE = Suite("paillier", "one thread on one core, keys of 2048 bits, plaintexts of 20 bits")
BITS = 2048
PHE = Server("phe", "phe", arguments=(str(BITS),))
HEU = Server("HEU", "heu", "heu", "heu_ops.py", ("ZPaillier", str(BITS)))
HEU_OU = Server("HEU", "heu", "heu", "heu_ops.py", ("OU", str(BITS)))


def _values(n: int) -> Any:
    return np.random.default_rng(1).integers(-(2**20), 2**20, n)


def _key(setting: Setting) -> paillier.PrivateKey:
    key: paillier.PrivateKey = setting.kept("paillier", lambda: paillier.generate_keypair(BITS)[1])
    return key


def _ou_key(setting: Setting) -> okamoto_uchiyama.PrivateKey:
    key: okamoto_uchiyama.PrivateKey = setting.kept(
        "okamoto-uchiyama", lambda: okamoto_uchiyama.generate_keypair(BITS)[1]
    )
    return key


def _peers(setting: Setting, operation: str, n: int) -> list[Peer]:
    """python-paillier does n of them, for it is slow; HEU's program has a number of its own."""
    return [Peer("phe", PHE, f"{operation} {setting.size(2, n, 4 * n)}"), Peer("HEU", HEU, operation)]


def _by(setting: Setting, count: Counts, what: str) -> Limit | str:
    return setting.machine.by("bigint", count, what)


# hs^r for r of half the key's bits, from tables: by the owner modulo p^2 and q^2, put together by a product there and
# one modulo n^2 each. Then 1 + m n, a product, and the product of both.
BY_TABLES = fixed_power(2 * BITS, BITS // 2) + 2 * product(2 * BITS)
BY_ADDRESS = fixed_power(2 * BITS, BITS // 2, counts.DIRECT_WINDOW) + 2 * product(2 * BITS)
BY_OWNER = 2 * (fixed_power(BITS, BITS // 2) + product(BITS)) + 4 * product(2 * BITS)
# c out of Montgomery form; modulo p^2 and q^2 it is reduced by Horner's rule, two products for three pieces of 31
# limbs, raised to p - 1, and the logarithm and its share of m are three products.
DECRYPT = product(2 * BITS) + 2 * (power(BITS, BITS // 2) + 5 * product(BITS))
# H^r, G^(m + 2^24) G^(-2^24) for values of 21 bits, and the product of both.
OU_POWER = fixed_power(BITS, okamoto_uchiyama.short_exponent_bits(BITS))
OU_ENCRYPT = OU_POWER + fixed_power(BITS, 25) + 2 * product(BITS)
# c out of Montgomery form; modulo p^2, two thirds of the key's bits, two pieces by Horner's rule, c^t, and two products
# for the logarithm.
OU_BITS = 2 * okamoto_uchiyama.prime_bits(BITS)
OU_DECRYPT = product(BITS) + power(OU_BITS, 224) + 3 * product(OU_BITS)


def _encrypt(
    setting: Setting, call: Callable[[Any], Any], count: Counts, what: str, *, constant_time: bool
) -> Work:
    key, values = _key(setting), _values(setting.size(8, 256, 2048))
    return Work(
        len(values),
        lambda: call(values),
        lambda found: same("paillier/encrypt", key.decrypt(found), values),
        _peers(setting, "encrypt", 6),
        _by(setting, count, what),
        extra={"threads": 1, "constant_time": constant_time},
    )


@SUITE.case("paillier/encrypt, by the key's owner/2048", unit="encryptions")
def encrypt_owner(setting: Setting) -> Work:
    return _encrypt(
        setting,
        _key(setting).encrypt,
        BY_OWNER,
        "products of two powers from tables modulo p^2 and q^2",
        constant_time=True,
    )


@SUITE.case("paillier/encrypt/2048", unit="encryptions")
def encrypt(setting: Setting) -> Work:
    return _encrypt(
        setting,
        _key(setting).public_key.encrypt,
        BY_TABLES,
        "products of a power from tables modulo n^2",
        constant_time=True,
    )


@SUITE.case("paillier/encrypt vartime/2048", unit="encryptions")
def encrypt_vartime(setting: Setting) -> Work:
    return _encrypt(
        setting,
        _key(setting).public_key.encrypt_vartime,
        BY_ADDRESS,
        "products of a power from larger tables modulo n^2",
        constant_time=False,
    )


@SUITE.case("paillier/decrypt/2048", unit="decryptions")
def decrypt(setting: Setting) -> Work:
    key, values = _key(setting), _values(setting.size(8, 256, 2048))
    c = key.encrypt(values)
    return Work(
        len(values),
        lambda: key.decrypt(c),
        lambda found: same("paillier/decrypt", found, values),
        _peers(setting, "decrypt", 16),
        _by(setting, DECRYPT, "two powers of 1024 bits modulo p^2 and q^2"),
        extra={"threads": 1, "constant_time": True},
    )


@SUITE.case("paillier/add/2048", unit="additions")
def add(setting: Setting) -> Work:
    key, values = _key(setting), _values(setting.size(8, 2048, 8192))
    a = key.encrypt_vartime(values)
    return Work(
        len(values),
        lambda: a + a,
        lambda found: same("paillier/add", key.decrypt(found[:50]), 2 * values[:50]),
        _peers(setting, "add", 200),
        _by(setting, product(2 * BITS), "one Montgomery product modulo n^2"),
        extra={"threads": 1},
    )


@SUITE.case("paillier/multiply by 20 bits/2048", unit="products")
def multiply(setting: Setting) -> Work:
    key, values = _key(setting), _values(setting.size(8, 256, 2048))
    factors = np.random.default_rng(2).integers(0, 2**20, len(values))
    c = key.encrypt_vartime(values)
    return Work(
        len(values),
        lambda: c * factors,
        lambda found: same("paillier/multiply", key.decrypt(found[:50]), (values * factors)[:50]),
        _peers(setting, "multiply", 100),
        _by(setting, power(2 * BITS, 20), "a power of 20 bits modulo n^2"),
        extra={"threads": 1, "constant_time": True},
    )


@SUITE.case("okamoto-uchiyama/encrypt/2048", unit="encryptions")
def ou_encrypt(setting: Setting) -> Work:
    key, values = _ou_key(setting), _values(setting.size(8, 1024, 8192))
    return Work(
        len(values),
        lambda: key.encrypt(values),
        lambda found: same("okamoto-uchiyama/encrypt", key.decrypt(found), values),
        [Peer("HEU", HEU_OU, "encrypt")],
        _by(setting, OU_ENCRYPT, "products of two powers from tables modulo n"),
        extra={"threads": 1, "constant_time": True},
    )


@SUITE.case("okamoto-uchiyama/decrypt/2048", unit="decryptions")
def ou_decrypt(setting: Setting) -> Work:
    key, values = _ou_key(setting), _values(setting.size(8, 1024, 8192))
    c = key.encrypt(values)
    return Work(
        len(values),
        lambda: key.decrypt(c),
        lambda found: same("okamoto-uchiyama/decrypt", found, values),
        [Peer("HEU", HEU_OU, "decrypt")],
        _by(setting, OU_DECRYPT, "a power of 224 bits modulo p^2"),
        extra={"threads": 1, "constant_time": True},
    )
