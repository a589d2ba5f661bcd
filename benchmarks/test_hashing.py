# SPDX-License-Identifier: Apache-2.0
"""hashing on one core: batches against the loop over `hashlib` or `blake3` that one would write."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import blake3 as blake3_package
import numpy as np
import pyarrow as pa
import pytest

from benchmarks import limits
from crypsis import backends, hashing
from crypsis.mpc.bench import counts

PEERS: dict[str, Callable[[bytes], bytes]] = {
    "sha256": lambda message: hashlib.sha256(message).digest(),
    "sm3": lambda message: hashlib.new("sm3", message).digest(),
    "blake3": lambda message: blake3_package.blake3(message).digest(),
}
COUNTS = {"sha256": counts.SHA256, "sm3": counts.SM3, "blake3": counts.BLAKE3}


def peer_name(algorithm: str) -> str:
    return "blake3 loop" if algorithm == "blake3" else "hashlib loop"


def hash_loop(algorithm: str, messages: list[bytes]) -> list[bytes]:
    if algorithm == "sha256":  # the must-show figure: the plainest loop, without a call in between
        sha256 = hashlib.sha256
        return [sha256(message).digest() for message in messages]
    peer = PEERS[algorithm]
    return [peer(message) for message in messages]


def check_digests(ours: np.ndarray, peers: dict[str, Any]) -> None:
    for theirs in peers.values():
        assert ours.shape[0] == len(theirs)
        assert np.frombuffer(b"".join(theirs), np.uint8).reshape(-1, 32).tobytes() == ours.tobytes()


@pytest.mark.parametrize(
    ("algorithm", "backend"), [(a, b) for a in hashing.ALGORITHMS for b in backends.runnable("hashing", a)]
)
def test_16_byte_ids(compare: Any, size: Any, algorithm: str, backend: str) -> None:
    if algorithm == "sm3" and "sm3" not in hashlib.algorithms_available:
        pytest.skip("hashlib's OpenSSL has no SM3 to compare with")
    headline = algorithm == "sha256" and backend == backends.runnable("hashing", "sha256")[0]
    n = size(1_000_000, 10_000_000) if headline else size(100_000, 1_000_000)
    ids = np.random.default_rng(1).integers(0, 256, (n, 16), dtype=np.uint8)
    messages = [row.tobytes() for row in ids]
    out = np.empty((n, 32), np.uint8)
    compare(
        f"hashing/{algorithm}/16-byte ids/{backend}",
        lambda: hashing.digest(algorithm, ids, out=out, backend=backend, threads=1),
        items=n,
        unit="hashes",
        check=check_digests,
        peers={peer_name(algorithm): lambda: hash_loop(algorithm, messages)},
        limit=limits.by("hashing", COUNTS[algorithm], "a block a hash", backend),
        extra={"backend": backend, "threads": 1, "message_bytes": 16},
    )


@pytest.mark.parametrize("algorithm", ["sha256", "blake3"])
@pytest.mark.parametrize("low_high", [(18, 18), (5, 40), (20, 200)], ids=["18", "5-40", "20-200"])
def test_string_columns(compare: Any, size: Any, algorithm: str, low_high: tuple[int, int]) -> None:
    """Identifiers as a database gives them: an Arrow column, fresh digests of 16 bytes, with a domain."""
    n = size(100_000, 1_000_000)
    lengths = np.random.default_rng(2).integers(low_high[0], low_high[1] + 1, n)
    messages = [b"%0*d" % (length, i) for i, length in enumerate(lengths.tolist())]
    column = pa.array(messages, pa.binary())
    backend = backends.runnable("hashing", algorithm)[0]

    def check(ours: np.ndarray, peers: dict[str, Any]) -> None:
        check_digests(hashing.digest(algorithm, column), peers)
        plain = hashing.digest(algorithm, column, domain=b"bench", backend="portable")
        assert np.array_equal(ours, plain[:, :16])

    compare(
        f"hashing/{algorithm}/column of {low_high[0]} to {low_high[1]} bytes",
        lambda: hashing.digest(
            algorithm, column, digest_size=16, domain=b"bench", backend=backend, threads=1
        ),
        items=n,
        unit="hashes",
        check=check,
        peers={peer_name(algorithm): lambda: hash_loop(algorithm, messages)},
        extra={"backend": backend, "threads": 1},
    )
