# SPDX-License-Identifier: Apache-2.0
"""hashing: known answers, differential against the reference, and properties, over every backend."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import blake3 as blake3_package
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis import backends, hashing
from reference import hashing as reference

VECTORS = Path(__file__).parent / "vectors"
NIST_AND_GBT = json.loads((VECTORS / "hashing.json").read_text())
BLAKE3 = json.loads((VECTORS / "hashing_blake3.json").read_text())
KEY = bytes(range(100, 132))
MODES = [{}, {"domain": b"tests v1"}, {"key": KEY}]
MAX_LANES = 16

RUNNABLE = [(a, b) for a in hashing.ALGORITHMS for b in backends.runnable("hashing", a)]
every_backend = pytest.mark.parametrize(("algorithm", "backend"), RUNNABLE)
every_mode = pytest.mark.parametrize("mode", MODES, ids=["plain", "domain", "key"])


def pattern(length: int) -> bytes:
    """Bytes 0 to 250 over and over, as BLAKE3's vectors have them."""
    return (bytes(range(251)) * (length // 251 + 1))[:length]


def random_bytes(seed: int, length: int) -> bytes:
    return np.random.default_rng(seed).bytes(length)


def digests(algorithm: str, messages: list[bytes], **options) -> list[bytes]:
    result = hashing.digest(algorithm, pa.array(messages, pa.binary()), **options)
    return [row.tobytes() for row in result]


@cache
def expected(algorithm: str, message: bytes, mode: int = 0) -> bytes:
    return reference.digest(algorithm, message, **MODES[mode])


# Known answers


@every_backend
def test_published_digests(algorithm: str, backend: str) -> None:
    for case in NIST_AND_GBT.get(algorithm, []):
        message = (case["ascii"] * case["repeat"]).encode()
        for batch in (1, 17):
            assert (
                digests(algorithm, [message] * batch, backend=backend)
                == [bytes.fromhex(case["digest"])] * batch
            )


@pytest.mark.parametrize("backend", backends.runnable("hashing", "sha256"))
def test_published_hmac(backend: str) -> None:
    for case in NIST_AND_GBT["hmac_sha256"]:
        found = digests(
            "sha256", [case["ascii"].encode()] * 9, key=bytes.fromhex(case["key"]), backend=backend
        )
        assert found == [bytes.fromhex(case["digest"])] * 9


@pytest.mark.parametrize("backend", backends.runnable("hashing", "blake3"))
@pytest.mark.parametrize(
    ("column", "options"),
    [
        ("hash", {}),
        ("keyed_hash", {"key": BLAKE3["key"].encode()}),
        ("derive_key", {"domain": BLAKE3["context"].encode()}),
    ],
)
def test_published_blake3(column: str, options: dict, backend: str) -> None:
    cases = BLAKE3["cases"]
    found = digests("blake3", [pattern(case["input_len"]) for case in cases], backend=backend, **options)
    assert [digest.hex() for digest in found] == [case[column] for case in cases]


# Differential


@every_backend
@every_mode
def test_every_length(algorithm: str, backend: str, mode: dict) -> None:
    messages = [pattern(n) for n in range(2 * 64 + 2)] + [
        pattern(n) for n in (183, 184, 191, 192, 193, 247, 248, 256)
    ]
    wanted = [expected(algorithm, message, MODES.index(mode)) for message in messages]
    assert digests(algorithm, messages, backend=backend, **mode) == wanted
    for message, digest in zip(messages, wanted, strict=True):  # alone, and as a full group of equals
        rows = np.frombuffer(message * MAX_LANES, np.uint8).reshape(MAX_LANES, len(message))
        found = hashing.digest(algorithm, rows, backend=backend, **mode)
        assert [row.tobytes() for row in found] == [digest] * MAX_LANES


@every_backend
def test_every_batch_size(algorithm: str, backend: str) -> None:
    for n in range(2 * MAX_LANES + 2):
        messages = [random_bytes(100 * n + i, (7 * i) % 70) for i in range(n)]
        found = digests(algorithm, messages, backend=backend)
        assert found == [expected(algorithm, message) for message in messages]


@every_backend
def test_window_edges(algorithm: str, backend: str) -> None:
    """Around the 512 messages that a backend plans at once, and the 1,024 of a thread."""
    rows = np.frombuffer(random_bytes(1, 1100 * 18), np.uint8).reshape(1100, 18)
    wanted = hashing.digest(algorithm, rows, backend="portable")
    assert wanted[-1].tobytes() == expected(algorithm, rows[-1].tobytes())
    for n in (511, 512, 513, 528, 1023, 1024, 1025, 1100):
        for threads in (1, 3):
            found = hashing.digest(algorithm, rows[:n], backend=backend, threads=threads)
            assert np.array_equal(found, wanted[:n])


@every_backend
@every_mode
def test_lengths_that_differ_widely(algorithm: str, backend: str, mode: dict) -> None:
    lengths = [3, 5000, 0, 64, 1024, 1025, 17, 90_000, 55, 56, 119, 120, 2049, 16, 31, 32, 19, 20] + [18] * 30
    messages = [random_bytes(i, n) for i, n in enumerate(lengths)]
    found = digests(algorithm, messages, backend=backend, **mode)
    peer = PEERS[algorithm, MODES.index(mode)]
    assert found == [peer(message) for message in messages]


# BLAKE3 hashes messages of more than one chunk as trees, each alone, and the rest side by side: lengths around each
# block of the first chunk and around each chunk, up to trees of six.
BLAKE3_LENGTHS = sorted(
    {max(0, 64 * block + d) for block in range(18) for d in (-1, 0, 1)}
    | {1024 * chunk + d for chunk in range(1, 6) for d in (-1, 0, 1, 63, 64, 65)}
)


def blake3_orders() -> dict[str, list[int]]:
    """Lengths by the name of their order in a batch."""
    short, long = [0, 3, 64, 1023, 1024], [1025, 2048, 3000, 5121]
    shuffled = np.random.default_rng(8).permutation(BLAKE3_LENGTHS * 8).tolist()
    return {
        "short around long": [*short, long[0], 18, 18, long[1], *short, *long, 1, *long[::-1], *short],
        "one long last": [*[18] * 40, 1025],
        "one long first": [1025, *[18] * 40],
        "ascending": BLAKE3_LENGTHS,
        "descending": BLAKE3_LENGTHS[::-1],
        "shuffled, beyond a window": shuffled,
    }


@pytest.mark.parametrize("backend", backends.runnable("hashing", "blake3"))
@pytest.mark.parametrize("order", blake3_orders())
@every_mode
def test_blake3_of_short_and_long_messages_in_one_batch(backend: str, order: str, mode: dict) -> None:
    messages = [random_bytes(length, length) for length in blake3_orders()[order]]
    wanted = [expected("blake3", message, MODES.index(mode)) for message in messages]
    for threads in (1, 3):
        assert digests("blake3", messages, backend=backend, threads=threads, **mode) == wanted
    short = digests("blake3", messages, backend=backend, digest_size=17, **mode)
    assert short == [digest[:17] for digest in wanted]


def _framed_domain(domain: bytes) -> bytes:
    return bytes([len(domain)]) + domain + bytes(63 - len(domain))


def _hmac_sm3(message: bytes) -> bytes:
    return reference.hmac(lambda m: hashlib.new("sm3", m).digest(), KEY, message)


_HAS_SM3 = "sm3" in hashlib.algorithms_available


def _sm3(message: bytes) -> bytes:
    return hashlib.new("sm3", message).digest() if _HAS_SM3 else reference.sm3(message)


# Other people's code; OpenSSL may be built without SM3.
PEERS = {
    ("sha256", 0): lambda m: hashlib.sha256(m).digest(),
    ("sha256", 1): lambda m: hashlib.sha256(_framed_domain(b"tests v1") + m).digest(),
    ("sha256", 2): lambda m: reference.hmac(lambda x: hashlib.sha256(x).digest(), KEY, m),
    ("sm3", 0): _sm3,
    ("sm3", 1): lambda m: _sm3(_framed_domain(b"tests v1") + m),
    ("sm3", 2): lambda m: reference.hmac(_sm3, KEY, m),
    ("blake3", 0): lambda m: blake3_package.blake3(m).digest(),
    ("blake3", 1): lambda m: blake3_package.blake3(m, derive_key_context="tests v1").digest(),
    ("blake3", 2): lambda m: blake3_package.blake3(m, key=KEY).digest(),
}


@every_backend
def test_random_rows_against_peers(algorithm: str, backend: str) -> None:
    for width in (1, 4, 8, 16, 18, 19, 20, 31, 32, 33, 55, 56, 63, 64, 65, 200):
        rows = np.frombuffer(random_bytes(width, 700 * width), np.uint8).reshape(700, width)
        found = hashing.digest(algorithm, rows, backend=backend)
        peer = PEERS[algorithm, 0]
        assert [row.tobytes() for row in found] == [peer(row.tobytes()) for row in rows]


@pytest.mark.parametrize("algorithm", hashing.ALGORITHMS)
def test_key_and_domain_lengths(algorithm: str) -> None:
    message = b"a message"
    for n in (1, 2, 31, 62):
        domain = pattern(n + 65)[65:]
        assert digests(algorithm, [message], domain=domain) == [
            reference.digest(algorithm, message, domain=domain)
        ]
    for n in [32] if algorithm == "blake3" else [1, 31, 32, 63, 64]:
        key = pattern(n)
        assert digests(algorithm, [message], key=key) == [reference.digest(algorithm, message, key=key)]


# Properties


messages_strategy = st.lists(st.binary(max_size=200), max_size=40)


@given(messages=messages_strategy, algorithm=st.sampled_from(hashing.ALGORITHMS), mode=st.sampled_from(MODES))
@settings(deadline=None, max_examples=60)
def test_batch_equals_each_alone_on_every_backend(messages: list[bytes], algorithm: str, mode: dict) -> None:
    alone = [digests(algorithm, [message], backend="portable", **mode)[0] for message in messages]
    for backend in backends.runnable("hashing", algorithm):
        assert digests(algorithm, messages, backend=backend, **mode) == alone
    assert digests(algorithm, messages, **mode) == alone


@given(
    widths=st.lists(st.integers(0, 150), min_size=1, max_size=2500),
    algorithm=st.sampled_from(hashing.ALGORITHMS),
    size=st.integers(16, 32),
    mode=st.sampled_from(MODES),
)
@settings(deadline=None, max_examples=30)
def test_threads_and_truncation_change_nothing(
    widths: list[int], algorithm: str, size: int, mode: dict
) -> None:
    messages = [pattern(400)[i % 250 : i % 250 + width] for i, width in enumerate(widths)]
    column = pa.array(messages, pa.large_binary())
    one = hashing.digest(algorithm, column, threads=1, **mode)
    two = hashing.digest(algorithm, column, threads=2, digest_size=size, **mode)
    assert np.array_equal(one[:, :size], two)


def test_domains_keys_and_algorithms_separate() -> None:
    seen = set()
    for algorithm in hashing.ALGORITHMS:
        for options in (
            {},
            {"domain": b"a"},
            {"domain": b"a\0"},
            {"domain": b"b"},
            {"key": KEY},
            {"key": KEY[::-1]},
        ):
            seen.add(digests(algorithm, [b"x"], **options)[0])
    assert len(seen) == 18
