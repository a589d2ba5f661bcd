# SPDX-License-Identifier: Apache-2.0
"""Paillier and Okamoto-Uchiyama with keys of 2048 bits, beside python-paillier and HEU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from crypsis import okamoto_uchiyama, paillier
from crypsis.mpc.bench import counts
from crypsis.mpc.bench.counts import Counts
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
        counts.encrypt_owner(BITS),
        "products of two powers from tables modulo p^2 and q^2",
        constant_time=True,
    )


@SUITE.case("paillier/encrypt/2048", unit="encryptions")
def encrypt(setting: Setting) -> Work:
    return _encrypt(
        setting,
        _key(setting).public_key.encrypt,
        counts.encrypt_public(BITS),
        "products of a power from tables modulo n^2",
        constant_time=True,
    )


@SUITE.case("paillier/encrypt vartime/2048", unit="encryptions")
def encrypt_vartime(setting: Setting) -> Work:
    return _encrypt(
        setting,
        _key(setting).public_key.encrypt_vartime,
        counts.encrypt_public(BITS, counts.DIRECT_WINDOW),
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
        _by(setting, counts.decrypt_paillier(BITS), "two powers of 1024 bits modulo p^2 and q^2"),
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
        _by(setting, counts.product(2 * BITS), "one Montgomery product modulo n^2"),
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
        _by(setting, counts.power(2 * BITS, 20), "a power of 20 bits modulo n^2"),
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
        _by(setting, counts.encrypt_short(BITS, 24), "products of two powers from tables modulo n"),
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
        _by(setting, counts.decrypt_short(BITS), "a power of 224 bits modulo p^2"),
        extra={"threads": 1, "constant_time": True},
    )
