# SPDX-License-Identifier: Apache-2.0
"""aes: known answers, differential against the reference, and properties, over every backend."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis import aes, backends
from reference import aes as reference

VECTORS = json.loads((Path(__file__).parent / "vectors" / "aes.json").read_text())
every_backend = pytest.mark.parametrize("backend", backends.runnable("aes"))
KEY = bytes.fromhex("6162d6d0f0a6f6b1e03e5d3c0b7a9911")
GROUP = 32  # blocks that the widest backends take together
N = 2 * GROUP + 1
KEYS = st.binary(min_size=16, max_size=16)
COUNTERS = st.one_of(
    st.integers(0, 2**128 - 1),
    st.sampled_from([32, 64, 128]).flatmap(lambda k: st.integers(2**k - 70, 2**k - 1)),
)


def blocks(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 16), dtype=np.uint8)


def rows(array: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in array]


def array_of(rows: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 16)


# Known answers


@every_backend
def test_published_round_keys(backend: str) -> None:
    for case in VECTORS["expand"]:
        found = aes.expand_key(bytes.fromhex(case["key"]), backend=backend)
        assert found.shape == (11, 16)
        assert [found[i].tobytes().hex() for i in (0, 1, 10)] == [case["first"], case["second"], case["last"]]


@every_backend
def test_published_ciphertexts(backend: str) -> None:
    for case in VECTORS["encrypt"]:
        plaintext = np.frombuffer(bytes.fromhex(case["plaintext"]), np.uint8).reshape(-1, 16)
        for repeat in (1, 2 * GROUP + 1):
            found = aes.permute(
                np.tile(plaintext, (repeat, 1)), key=bytes.fromhex(case["key"]), backend=backend
            )
            assert found.tobytes() == bytes.fromhex(case["ciphertext"]) * repeat


@every_backend
def test_published_counter_mode(backend: str) -> None:
    for case in VECTORS["ctr"]:
        key, counter = bytes.fromhex(case["key"]), int(case["counter"], 16)
        plaintext = np.frombuffer(bytes.fromhex(case["plaintext"]), np.uint8)
        found = aes.ctr_xor(key, plaintext, counter=counter, backend=backend)
        assert found.tobytes().hex() == case["ciphertext"]
        stream = aes.ctr_stream(key, len(plaintext) // 16, counter=counter, backend=backend)
        assert (stream.reshape(-1) ^ plaintext).tobytes().hex() == case["ciphertext"]


def test_the_fixed_keys_are_pi() -> None:
    def arctan_inverse(x: int) -> int:
        one, total, k = 1 << 512, 0, 0
        power = one // x
        while power:
            total += (-1) ** k * (power // (2 * k + 1))
            power //= x * x
            k += 1
        return total

    pi = 4 * (4 * arctan_inverse(5) - arctan_inverse(239))  # Machin's formula
    fraction = (pi & ((1 << 512) - 1)) >> 128
    assert fraction.to_bytes(48, "big") == (aes.HASH_KEY + aes.LEFT_KEY + aes.RIGHT_KEY)


@every_backend
def test_every_byte_through_the_s_box(backend: str) -> None:
    # Under a zero key, rows that differ in one byte: the first round looks up each value in each place.
    array = np.zeros((256 * 16, 16), np.uint8)
    for place in range(16):
        array[256 * place : 256 * (place + 1), place] = np.arange(256)
    wanted = aes.permute(array, key=bytes(16), backend="portable")
    assert np.array_equal(aes.permute(array, key=bytes(16), backend=backend), wanted)
    for i in range(0, len(array), 37):
        assert wanted[i].tobytes() == reference.encrypt(bytes(16), array[i].tobytes())


# Differential


@cache
def expected(function: str, tweak: int = 0) -> list[bytes]:
    inputs = rows(blocks(N))
    if function == "permute":
        return [reference.encrypt(KEY, x) for x in inputs]
    if function == "mmo":
        return [reference.mmo(KEY, x) for x in inputs]
    if function == "tmmo":
        return [reference.tmmo(KEY, x, tweak + i) for i, x in enumerate(inputs)]
    if function == "ctr":
        stream = reference.ctr(KEY, tweak, 16 * N)
        return [stream[16 * i : 16 * i + 16] for i in range(N)]
    return reference.ggm_level(aes.LEFT_KEY, aes.RIGHT_KEY, inputs)


@every_backend
def test_every_batch_size(backend: str) -> None:
    inputs = blocks(N)
    for n in range(N + 1):
        x = inputs[:n]
        assert rows(aes.permute(x, key=KEY, backend=backend)) == expected("permute")[:n]
        assert rows(aes.mmo(x, key=KEY, backend=backend)) == expected("mmo")[:n]
        assert rows(aes.tmmo(x, 7, key=KEY, backend=backend)) == expected("tmmo", 7)[:n]
        assert rows(aes.ctr_stream(KEY, n, counter=9, backend=backend)) == expected("ctr", 9)[:n]
        assert rows(aes.ggm_level(x, backend=backend)) == expected("ggm_level")[: 2 * n]


@every_backend
@pytest.mark.parametrize("power", [32, 64, 128])
def test_counters_carry(backend: str, power: int) -> None:
    tweak = 2**power - GROUP - 3
    assert rows(aes.tmmo(blocks(N), tweak, key=KEY, backend=backend)) == expected("tmmo", tweak)
    assert rows(aes.ctr_stream(KEY, N, counter=tweak, backend=backend)) == expected("ctr", tweak)
    # The wrap at each place of a group and just around it.
    for before in range(GROUP + 2):
        skip = GROUP + 3 - before
        found = aes.ctr_stream(
            KEY, GROUP, counter=2**power - before if before else 2**power % 2**128, backend=backend
        )
        assert rows(found)[: N - skip] == expected("ctr", tweak)[skip : skip + GROUP]


@every_backend
def test_key_expansion(backend: str) -> None:
    keys = blocks(19, seed=3)
    found = aes.expand_key(keys, backend=backend)
    assert found.shape == (19, 11, 16)
    for key, schedule in zip(keys, found, strict=True):
        assert rows(schedule) == reference.expand(key.tobytes())
    assert np.array_equal(aes.expand_key(keys[0], backend=backend), found[0])
    assert aes.expand_key(keys[:0], backend=backend).shape == (0, 11, 16)


@every_backend
def test_counter_mode_of_every_length_in_bytes(backend: str) -> None:
    data = blocks(5, seed=4).reshape(-1)
    stream = np.frombuffer(reference.ctr(KEY, 2**64 - 2, data.size), np.uint8)
    for n in range(data.size + 1):
        found = aes.ctr_xor(KEY, data[:n], counter=2**64 - 2, backend=backend)
        assert np.array_equal(found, data[:n] ^ stream[:n])
    assert aes.ctr_xor(KEY, data.reshape(4, 20), backend=backend).shape == (4, 20)


def test_threads_change_nothing() -> None:
    n = 2 * 65536 + 77  # more than two threads take
    x = blocks(n, seed=5)
    counter = 2**64 - 65536 - 3
    for run in (
        lambda threads: aes.permute(x, threads=threads),
        lambda threads: aes.mmo(x, threads=threads),
        lambda threads: aes.tmmo(x, counter, threads=threads),
        lambda threads: aes.ctr_stream(KEY, n, counter=counter, threads=threads),
        lambda threads: aes.ctr_xor(KEY, x.reshape(-1)[:-5], counter=counter, threads=threads),
        lambda threads: aes.ggm_level(x, threads=threads),
        lambda threads: aes.expand_key(x[:10000], threads=threads),
    ):
        assert np.array_equal(run(3), run(1))


# Properties


@every_backend
@given(key=KEYS, counter=COUNTERS, n=st.integers(0, 80), seed=st.integers(0, 2**32))
@settings(max_examples=30)
def test_hashes_are_what_their_formulas_say(
    backend: str, key: bytes, counter: int, n: int, seed: int
) -> None:
    x = blocks(n, seed)
    pi = aes.permute(x, key=key, backend=backend)
    assert np.array_equal(aes.mmo(x, key=key, backend=backend), pi ^ x)
    tweaks = array_of([((counter + i) % 2**128).to_bytes(16, "little") for i in range(n)])
    outer = aes.permute(pi ^ tweaks, key=key, backend=backend)
    assert np.array_equal(aes.tmmo(x, counter, key=key, backend=backend), outer ^ pi)
    other = bytes(b ^ 0x5A for b in key)
    children = aes.ggm_level(x, keys=(key, other), backend=backend)
    assert np.array_equal(children[::2], pi ^ x)
    assert np.array_equal(children[1::2], aes.mmo(x, key=other, backend=backend))


@every_backend
@given(key=KEYS, counter=COUNTERS, n=st.integers(0, 90), cut=st.integers(0, 90), seed=st.integers(0, 2**32))
@settings(max_examples=30)
def test_counter_mode_seeks_and_inverts(
    backend: str, key: bytes, counter: int, n: int, cut: int, seed: int
) -> None:
    stream = aes.ctr_stream(key, n, counter=counter, backend=backend)
    cut = min(cut, n)
    later = aes.ctr_stream(key, n - cut, counter=(counter + cut) % 2**128, backend=backend)
    assert np.array_equal(stream[cut:], later)
    counters = array_of([((counter + i) % 2**128).to_bytes(16, "big") for i in range(n)])
    assert np.array_equal(stream, aes.permute(counters, key=key, backend=backend))
    data = blocks(n, seed).reshape(-1)[: max(0, 16 * n - cut % 16)]
    ciphertext = aes.ctr_xor(key, data, counter=counter, backend=backend)
    assert np.array_equal(ciphertext ^ data, stream.reshape(-1)[: data.size])
    assert np.array_equal(aes.ctr_xor(key, ciphertext, counter=counter, backend=backend), data)


@given(key=KEYS, seed=st.integers(0, 2**32), n=st.integers(1, 200))
@settings(max_examples=30)
def test_backends_agree(key: bytes, seed: int, n: int) -> None:
    x = blocks(n, seed)
    results = [
        (aes.permute(x, key=key, backend=b).tobytes(), aes.expand_key(x, backend=b).tobytes())
        for b in backends.runnable("aes")
    ]
    assert all(result == results[0] for result in results)
