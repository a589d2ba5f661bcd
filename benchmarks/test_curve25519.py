# SPDX-License-Identifier: Apache-2.0
"""Batched X25519, Elligator 2 and hash-to-curve: one thread, every backend, beside one-at-a-time peers."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks import limits
from benchmarks.rows import Rate
from crypsis import backends, curve25519
from crypsis.mpc.bench import counts

every_backend = pytest.mark.parametrize("backend", backends.runnable("curve25519"))
N_PEER = 500  # calls of a peer that works one point at a time


def random_rows(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 32), dtype=np.uint8)


def openssl_speed() -> Rate:
    """`openssl speed` times one derivation at a time by the wall clock; its library's code, not Python's."""
    done = subprocess.run(
        ["openssl", "speed", "-elapsed", "-seconds", "1", "ecdhx25519"], capture_output=True, text=True
    )
    found = re.search(r"X25519\)\s+\S+\s+([\d.]+)", done.stdout)
    if done.returncode != 0 or found is None:
        raise RuntimeError(f"openssl speed printed no X25519 line: {done.stdout[-300:]}{done.stderr[-300:]}")
    return Rate(float(found.group(1)))


@every_backend
def test_scalar_mult(compare: Any, size: Callable[[int, int], int], backend: str) -> None:
    from cryptography.hazmat.primitives.asymmetric import x25519

    n = size(16_384, 262_144)
    scalar, points = random_rows(1, 1)[0], random_rows(2, n)
    out = np.empty_like(points)
    private = x25519.X25519PrivateKey.from_private_bytes(scalar.tobytes())
    some = [row.tobytes() for row in points[:N_PEER]]

    def cryptography() -> list[bytes]:
        return [private.exchange(x25519.X25519PublicKey.from_public_bytes(row)) for row in some]

    def timed(call: Callable[[], list[bytes]]) -> Callable[[], Any]:
        """The peer's rate over its N_PEER points; the answers of the last call are kept for `check`."""
        import time

        def run() -> Rate:
            start = time.perf_counter()
            answers.append(call())
            return Rate(N_PEER / (time.perf_counter() - start))

        return run

    answers: list[list[bytes]] = []
    peers: dict[str, Callable[[], Any]] = {"cryptography": timed(cryptography)}
    extra: dict[str, Any] = {"backend": backend, "threads": 1}
    if shutil.which("openssl"):
        peers["openssl speed"] = openssl_speed
        version = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True)
        extra["openssl_command"] = version.stdout.strip()  # the row's `openssl` is the library of Python
    try:
        from nacl.bindings import crypto_scalarmult
    except ImportError:
        pass
    else:
        peers["PyNaCl"] = timed(lambda: [crypto_scalarmult(scalar.tobytes(), row) for row in some])

    def check(ours: np.ndarray, _: dict[str, Any]) -> None:
        assert answers
        for answer in answers:
            assert answer == [row.tobytes() for row in ours[:N_PEER]]

    compare(
        f"curve25519/scalar_mult/{backend}",
        lambda: curve25519.scalar_mult(scalar, points, out=out, backend=backend, threads=1),
        items=n,
        unit="points",
        check=check,
        peers=peers,
        limit=limits.by("curve25519", counts.LADDER, "the ladder of a point", backend),
        extra=extra,
    )


@every_backend
def test_map_to_curve(compare: Any, size: Callable[[int, int], int], backend: str) -> None:
    n = size(65_536, 1_048_576)
    elements = random_rows(3, n)
    out = np.empty_like(elements)

    def check(ours: np.ndarray, peers: dict[str, Any]) -> None:
        assert (ours == peers["portable"]).all()

    compare(
        f"curve25519/map_to_curve/{backend}",
        lambda: curve25519.map_to_curve(elements, out=out, backend=backend, threads=1),
        items=n,
        unit="elements",
        check=check,
        peers={"portable": lambda: curve25519.map_to_curve(elements, backend="portable", threads=1)},
        extra={"backend": backend, "threads": 1},
    )


def test_hash_to_curve(compare: Any, size: Callable[[int, int], int]) -> None:
    n = size(16_384, 262_144)
    messages = random_rows(4, n)[:, :18]

    def check(ours: tuple[np.ndarray, np.ndarray], _: dict[str, Any]) -> None:
        curve25519.check_points(ours[0])

    compare(
        "curve25519/hash_to_curve/RO/18-byte ids",
        lambda: curve25519.hash_to_curve(messages, b"crypsis benchmark", threads=1),
        items=n,
        unit="messages",
        check=check,
        extra={"backend": "portable", "threads": 1},
    )
