# SPDX-License-Identifier: Apache-2.0
"""Kernels: hashes, AES, products of bits and of large numbers, a curve, transforms, oblivious key-value stores."""

from __future__ import annotations

from typing import Any

import numpy as np

from crypsis import aes, bigint, bitmatrix, curve25519, hashing, ntt, okvs, vole
from crypsis.mpc.bench import counts, inputs
from crypsis.mpc.bench.limits import least
from crypsis.mpc.bench.peers import Peer, Server
from crypsis.mpc.bench.rows import Limit
from crypsis.mpc.bench.suite import Setting, Suite, Work, WrongAnswer, same

SUITE = Suite("kernels", "one thread on one core")

HASHLIB = Server("hashlib", "hashlib")
BLAKE3 = Server("blake3", "blake3")
CRYPTOGRAPHY = Server("cryptography", "cryptography")
NACL = Server("PyNaCl", "nacl", package="pynacl")
GMPY2 = Server("gmpy2", "gmpy2")

SEED = bytes(16)


def _hash(setting: Setting, algorithm: str, server: Server, operation: str, block: counts.Counts) -> Work:
    n, n_peer = setting.size(500, 200_000, 2_000_000), setting.size(50, 5_000, 20_000)
    ids = inputs.rows(n)
    out = np.empty((n, 32), np.uint8)

    def check(found: Any) -> None:
        some = slice(0, min(n, 2_000))
        same(algorithm, found[some], hashing.digest(algorithm, ids[some], backend="portable"))

    return Work(
        n,
        lambda: hashing.digest(algorithm, ids, out=out, threads=1),
        check,
        [Peer(server.name, server, f"{operation} {n_peer}")],
        setting.machine.by("hashing", block, "a block a hash", variant=algorithm),
        digest=lambda found, count: inputs.digest(found[:count].tobytes()),
        extra={"threads": 1, "message_bytes": 16},
    )


@SUITE.case("hashing/sha256/16-byte ids", unit="hashes")
def sha256(setting: Setting) -> Work:
    return _hash(setting, "sha256", HASHLIB, "sha256", counts.SHA256)


@SUITE.case("hashing/blake3/16-byte ids", unit="hashes")
def blake3(setting: Setting) -> Work:
    return _hash(setting, "blake3", BLAKE3, "digest", counts.BLAKE3)


@SUITE.case("aes/ctr/1 MiB", unit="bytes")
def aes_ctr(setting: Setting) -> Work:
    n = setting.size(1 << 12, 1 << 20, 1 << 20)
    data = inputs.rows(n // 16)
    out = np.empty_like(data)
    return Work(
        n,
        lambda: aes.ctr_xor(inputs.KEY, data, out=out, threads=1),
        lambda found: same("aes/ctr", found, aes.ctr_xor(inputs.KEY, data, backend="portable")),
        [Peer("cryptography", CRYPTOGRAPHY, f"aes_ctr {n}")],
        setting.machine.by_aes(1 / 16, "a sixteenth of a block a byte"),
        lambda found, count: inputs.digest(found.tobytes()[:count]),
        {"threads": 1},
    )


@SUITE.case("aes/mmo/512 KiB", unit="blocks")
def aes_mmo(setting: Setting) -> Work:
    blocks = inputs.rows(setting.size(64, 1 << 15, 1 << 15))
    out = np.empty_like(blocks)
    return Work(
        len(blocks),
        lambda: aes.mmo(blocks, out=out, threads=1),
        lambda found: same("aes/mmo", found, aes.mmo(blocks, backend="portable")),
        bound=setting.machine.by_aes(1, "a block a hash"),
        extra={"threads": 1},
    )


@SUITE.case("bitmatrix/transpose/128 rows", unit="columns")
def transpose(setting: Setting) -> Work:
    n = setting.size(1 << 10, 1 << 20, 1 << 22)
    bits = inputs.rows(128, n // 8)
    out = np.empty((n, 16), np.uint8)

    def check(found: Any) -> None:
        wanted = np.packbits(np.unpackbits(bits, axis=1, bitorder="little").T, axis=1, bitorder="little")
        same("bitmatrix/transpose", found, wanted)

    return Work(
        n,
        lambda: bitmatrix.transpose(bits, out=out, threads=1),
        check,
        bound=setting.machine.by_copy(32, "each byte read once and written once", in_all=32 * n),
        extra={"threads": 1},
    )


@SUITE.case("vole/expand_trees/depth 13", unit="leaves")
def trees(setting: Setting) -> Work:
    depth = setting.size(4, 13, 13)
    seeds = inputs.rows(setting.size(2, 16, 64))
    leaves = np.empty((len(seeds), 1 << depth, 16), np.uint8)
    sums = np.empty((len(seeds), depth, 2, 16), np.uint8)

    def check(found: Any) -> None:
        wanted = vole.expand_trees(seeds[:1], depth, backend="portable")
        same("vole/expand_trees", found[0][:1], wanted[0])

    return Work(
        len(seeds) << depth,
        lambda: vole.expand_trees(seeds, depth, leaves=leaves, sums=sums, threads=1),
        check,
        bound=setting.machine.by_aes(2, "two blocks a leaf"),
        extra={"threads": 1},
    )


def _okvs(setting: Setting) -> tuple[Any, Any, Any, Any]:
    per_bin, n_bins = setting.size(500, 50_000, 50_000), setting.size(1, 2, 16)
    keys, values = inputs.rows(per_bin * n_bins), inputs.rows(per_bin * n_bins, seed=3)
    starts = np.arange(n_bins + 1, dtype=np.uint64) * np.uint64(per_bin)
    return okvs.parameters(per_bin, 21_475, field=128), starts, keys, values


def _places(setting: Setting, what: str) -> Limit | str:
    machine = setting.machine
    return least(machine.by_reads(counts.OKVS_READS, 16, what), machine.by_aes(1, "a key's hash"))


@SUITE.case("okvs/encode/128 bits", unit="keys")
def okvs_encode(setting: Setting) -> Work:
    parameters, starts, keys, values = _okvs(setting)
    out = np.empty((len(starts) - 1, parameters.columns, 16), np.uint8)

    def check(table: Any) -> None:
        same("okvs/encode", okvs.decode(keys, starts, table, parameters, seed=SEED), values)

    return Work(
        len(keys),
        lambda: okvs.encode(keys, starts, values, parameters, seed=SEED, out=out, threads=1),
        check,
        bound=_places(setting, "the three places of a key, nothing solved"),
        extra={"threads": 1, "bin": int(starts[1]), "expansion": parameters.expansion},
    )


@SUITE.case("okvs/decode/128 bits", unit="keys")
def okvs_decode(setting: Setting) -> Work:
    parameters, starts, keys, values = _okvs(setting)
    table = okvs.encode(keys, starts, values, parameters, seed=SEED, threads=1)
    out = np.empty_like(values)
    return Work(
        len(keys),
        lambda: okvs.decode(keys, starts, table, parameters, seed=SEED, out=out, threads=1),
        lambda found: same("okvs/decode", found, values),
        bound=_places(setting, "the three places of a key"),
        extra={"threads": 1, "bin": int(starts[1]), "expansion": parameters.expansion},
    )


@SUITE.case("curve25519/scalar_mult", unit="points")
def scalar_mult(setting: Setting) -> Work:
    n, n_peer = setting.size(32, 4_096, 65_536), setting.size(4, 300, 1_000)
    scalar = np.frombuffer(inputs.scalar(), np.uint8)
    points = inputs.rows(n, 32, seed=2)
    out = np.empty_like(points)

    def check(found: Any) -> None:
        some = points[:16]
        same("curve25519", found[:16], curve25519.scalar_mult(scalar, some, backend="portable"))

    return Work(
        n,
        lambda: curve25519.scalar_mult(scalar, points, out=out, threads=1),
        check,
        [
            Peer("PyNaCl", NACL, f"x25519 {n_peer}"),
            Peer("cryptography", CRYPTOGRAPHY, f"x25519 {n_peer}"),
        ],
        setting.machine.by("curve25519", counts.LADDER, "the ladder of a point"),
        lambda found, count: inputs.digest(found[:count].tobytes()),
        {"threads": 1},
    )


def _of_numbers(n_bits: int, n: int, *, seed: int = 1) -> Any:
    return bigint.from_ints(inputs.numbers(n_bits, n, seed=seed), n_bits // 64)


def _digest_of_rows(found: Any, count: int) -> str:
    return inputs.digest_of_numbers(bigint.to_ints(found[:count]))


@SUITE.case("bigint/mod_mul/4096", unit="products")
def mod_mul(setting: Setting) -> Work:
    n, n_bits = setting.size(20, 2_000, 20_000), 4096
    modulus = bigint.Modulus(inputs.modulus(n_bits))
    a, b = _of_numbers(n_bits, n), _of_numbers(n_bits, n, seed=2)
    out = np.empty_like(a)

    def check(found: Any) -> None:
        x, y = bigint.to_ints(a[-1:])[0], bigint.to_ints(b[-1:])[0]
        if bigint.to_ints(found[-1:])[0] != x * y % modulus.n:
            raise WrongAnswer("bigint/mod_mul: the answer is wrong")

    return Work(
        n,
        lambda: bigint.mod_mul(a, b, modulus, out=out, threads=1),
        check,
        [Peer("gmpy2", GMPY2, f"mod_mul_{n_bits} {setting.size(10, 2_000, 2_000)}")],
        setting.machine.by("bigint", counts.plain_product(n_bits), "a product and its reduction"),
        _digest_of_rows,
        {"threads": 1},
    )


@SUITE.case("bigint/powm/2048, one 1024-bit exponent", unit="powers")
def powm(setting: Setting) -> Work:
    n_bits = setting.size(1024, 2048, 2048)
    n = setting.size(8, 64, 256)
    modulus = bigint.Modulus(inputs.modulus(n_bits))
    exponent = inputs.exponent(n_bits)
    bases, row = _of_numbers(n_bits, n), bigint.from_ints([exponent], n_bits // 128)[0]

    def check(found: Any) -> None:
        if bigint.to_ints(found[-1:])[0] != pow(bigint.to_ints(bases[-1:])[0], exponent, modulus.n):
            raise WrongAnswer("bigint/powm: the answer is wrong")

    return Work(
        n,
        lambda: bigint.powm(bases, row, modulus, threads=1),
        check,
        [Peer("gmpy2", GMPY2, f"powm_{n_bits} {setting.size(4, 16, 64)}")],
        setting.machine.by(
            "bigint", counts.power(n_bits, n_bits // 2), "squarings and products of the best window"
        ),
        _digest_of_rows,
        {"threads": 1},
    )


@SUITE.case("ntt/forward/N = 8192, 50 bits", unit="transforms")
def ntt_forward(setting: Setting) -> Work:
    log_n = setting.size(8, 13, 13)
    basis = ntt.Basis(log_n, ntt.find_primes(log_n, [50]))
    values, out = ntt.empty((1, basis.n)), ntt.empty((1, basis.n))
    values[...] = np.random.default_rng(1).integers(0, basis.primes[0], values.shape, np.uint64)
    return Work(
        1,
        lambda: ntt.forward(values, basis, out=out, threads=1),
        lambda found: same("ntt/forward", found, ntt.forward(values, basis, backend="portable")),
        bound=setting.machine.by("ntt", counts.forward(log_n, 50), "the butterflies"),
        extra={"threads": 1},
    )
