# SPDX-License-Identifier: Apache-2.0
"""aes on one core: counter mode beside OpenSSL, the fixed-key hashes beside what the AES units can do."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from benchmarks.rows import Limit, Rate
from crypsis import _core, aes, backends

BACKENDS = backends.runnable("aes")
KEY = bytes(range(16))
OPENSSL_BYTES = 8192
IN_CACHE = 1 << 15  # blocks: input and output stay in the second-level cache
LARGE = 1 << 22


def units(backend: str) -> float:
    """Blocks a second that the AES units encrypt without loads and stores: the best of a few short runs."""
    repeats = 20_000 if backend != "portable" else 200
    best = 0.0
    for _ in range(9):
        start = time.perf_counter()
        n_blocks = _core.aes.measure_rounds(backend, repeats)
        best = max(best, n_blocks / (time.perf_counter() - start))
    return best


def limit(backend: str, *, aes_per_item: float = 1.0) -> Limit:
    return Limit(units(backend) / aes_per_item, "the rounds alone, in registers, measured in this run")


def units_peer(backend: str, n_blocks: float) -> Callable[[], int]:
    """The same loop as a peer for `n_blocks`, so that it alternates with ours: the ratio is the share of the limit."""
    repeats = round(n_blocks / _core.aes.measure_rounds(backend, 1))
    return lambda: _core.aes.measure_rounds(backend, repeats)


def openssl_speed() -> Rate:
    """Bytes a second that `openssl speed` shows, by the wall clock as ours."""
    command = f"openssl speed -elapsed -mr -seconds 1 -bytes {OPENSSL_BYTES} -evp aes-128-ctr".split()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("+F:"))
    return Rate(float(line.split(":")[3]))


def random_blocks(n: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, 16), dtype=np.uint8)


def openssl_cipher(mode: Any, data: np.ndarray) -> Callable[[], np.ndarray]:
    """OpenSSL through the `cryptography` package, into a buffer that is reused, its key set up once."""
    encryptor = Cipher(algorithms.AES(KEY), mode).encryptor()
    out = np.empty(data.nbytes + 15, np.uint8)
    flat = data.reshape(-1)

    def run() -> np.ndarray:
        encryptor.update_into(flat, out)
        return out[: data.nbytes]

    return run


@pytest.mark.parametrize("backend", BACKENDS)
def test_ctr_beside_openssl_speed(compare: Any, backend: str) -> None:
    """Both without the cost of a call from Python: loops in C over 8 KiB that stay in the first-level cache."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed")
    repeats = 100_000 if backend != "portable" else 3_000

    def check(ours: int, peers: dict[str, Any]) -> None:
        assert ours == repeats * OPENSSL_BYTES // 16
        data = random_blocks(OPENSSL_BYTES // 16)
        theirs = openssl_cipher(modes.CTR(bytes(16)), data)()
        assert aes.ctr_xor(KEY, data, backend=backend).tobytes() == theirs.tobytes()

    compare(
        f"aes/ctr/8 KiB in a loop/{backend}",
        lambda: _core.aes.measure_ctr(backend, OPENSSL_BYTES, repeats),
        items=repeats * OPENSSL_BYTES,
        unit="bytes",
        check=check,
        peers={
            "openssl speed": openssl_speed,
            "the rounds alone": units_peer(backend, repeats * OPENSSL_BYTES / 16),
        },
        limit=limit(backend, aes_per_item=1 / 16),
        rounds=7,  # of more than a second: openssl's own clock
        extra={"backend": backend, "threads": 1},
    )


@pytest.mark.parametrize("n_bytes", [8192, 1 << 20, 1 << 26], ids=["8 KiB", "1 MiB", "64 MiB"])
def test_ctr_from_python(compare: Any, size: Any, n_bytes: int) -> None:
    n = size(min(n_bytes, 1 << 24), n_bytes)
    data = random_blocks(n // 16)
    out = np.empty_like(data)
    backend = BACKENDS[0]

    def check(ours: np.ndarray, peers: dict[str, Any]) -> None:
        assert all(ours.tobytes() == theirs.tobytes() for theirs in peers.values())

    compare(
        f"aes/ctr_xor/{n_bytes >> 10} KiB from Python/{backend}",
        lambda: aes.ctr_xor(KEY, data, out=out, threads=1),
        items=n,
        unit="bytes",
        check=check,
        peers={"cryptography": openssl_cipher(modes.CTR(bytes(16)), data)},
        limit=limit(backend, aes_per_item=1 / 16),
        extra={"backend": backend, "threads": 1},
    )


FUNCTIONS: dict[str, tuple[Callable[..., np.ndarray], float]] = {
    "permute": (lambda x, **options: aes.permute(x, **options), 1),
    "mmo": (lambda x, **options: aes.mmo(x, **options), 1),
    "tmmo": (lambda x, **options: aes.tmmo(x, 1, **options), 2),
    "ggm_level": (lambda x, **options: aes.ggm_level(x[: len(x) // 2], **options), 1),
    "ctr_stream": (lambda x, **options: aes.ctr_stream(KEY, len(x), **options), 1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_fixed_key(compare: Any, backend: str, name: str) -> None:
    run, aes_per_item = FUNCTIONS[name]
    x = random_blocks(IN_CACHE)
    out = np.empty_like(x)

    def check(ours: np.ndarray, peers: dict[str, Any]) -> None:
        assert np.array_equal(ours[:4096], run(x, backend="portable")[:4096])

    compare(
        f"aes/{name}/512 KiB/{backend}",
        lambda: run(x, out=out, backend=backend, threads=1),
        items=IN_CACHE,
        unit="blocks",
        check=check,
        peers={"the rounds alone": units_peer(backend, IN_CACHE * aes_per_item)},
        limit=limit(backend, aes_per_item=aes_per_item),
        extra={"backend": backend, "threads": 1},
    )


@pytest.mark.parametrize("name", ["permute", "tmmo"])
def test_fixed_key_large(compare: Any, size: Any, name: str) -> None:
    """Beyond the caches, in place."""
    run, aes_per_item = FUNCTIONS[name]
    n = size(1 << 20, LARGE)
    x = random_blocks(n)
    backend = BACKENDS[0]

    def check(ours: np.ndarray, peers: dict[str, Any]) -> None:
        again = random_blocks(n)
        assert np.array_equal(ours[:4096], run(again[:4096], backend="portable"))

    compare(
        f"aes/{name}/large, in place/{backend}",
        lambda: run(x, out=x, backend=backend, threads=1),
        items=n,
        unit="blocks",
        check=check,
        limit=limit(backend, aes_per_item=aes_per_item),
        extra={"backend": backend, "threads": 1},
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_expand_key(compare: Any, backend: str) -> None:
    keys = random_blocks(4096)
    out = np.empty((4096, 11, 16), np.uint8)

    def check(ours: np.ndarray, peers: dict[str, Any]) -> None:
        assert np.array_equal(ours, aes.expand_key(keys, backend="portable"))

    compare(
        f"aes/expand_key/{backend}",
        lambda: aes.expand_key(keys, out=out, backend=backend, threads=1),
        items=4096,
        unit="keys",
        check=check,
        extra={"backend": backend, "threads": 1},
    )


@pytest.mark.parametrize("n_bytes", [16, 1 << 20], ids=["16 bytes", "1 MiB"])
def test_generator(compare: Any, n_bytes: int) -> None:
    generator = aes.Generator()
    out = np.zeros(n_bytes, np.uint8)

    def check(ours: None, peers: dict[str, Any]) -> None:
        assert out.any()

    compare(
        f"aes/Generator/{n_bytes} bytes",
        lambda: generator.fill(out),
        items=n_bytes,
        unit="bytes",
        check=check,
        peers={"os.urandom": lambda: os.urandom(n_bytes)},
        extra={"backend": BACKENDS[0], "threads": 1},
    )
