# SPDX-License-Identifier: Apache-2.0
"""Paillier and Okamoto-Uchiyama on one core beside python-paillier (`phe`) and HEU (`sf-heu`, in .venv-heu).

Both peers time themselves over fewer items (they are slow), on the same core, in every round. Rows with `vartime` in
their name look up tables by the encryptor's own random digits; the others are constant-time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from benchmarks import limits
from benchmarks.rows import Limit, Rate
from crypsis import backends, okamoto_uchiyama, paillier
from crypsis.mpc.bench import counts
from crypsis.mpc.bench.peer_process import PeerProcess

pytestmark = pytest.mark.usefixtures("one_core")
RNG = np.random.default_rng(20261122)
MATRIX = RNG.integers(0, 2**20, (30, 200))
SIGNED = MATRIX - 2**19


KEY_BITS = [2048, 3072] if os.environ.get("CRYPSIS_BENCH_SCALE") == "full" else [2048]


@pytest.fixture(scope="module", params=KEY_BITS)
def key(request: pytest.FixtureRequest) -> paillier.PrivateKey:
    return paillier.generate_keypair(request.param)[1]


@pytest.fixture(scope="module", params=KEY_BITS)
def ou_key(request: pytest.FixtureRequest) -> okamoto_uchiyama.PrivateKey:
    return okamoto_uchiyama.generate_keypair(request.param)[1]


@pytest.fixture(scope="module")
def heu(key: paillier.PrivateKey) -> Iterator[PeerProcess | None]:
    peer = PeerProcess.where_installed("heu", "heu_ops.py", "ZPaillier", str(key.public_key.n_bits))
    yield peer
    if peer:
        peer.close()


@pytest.fixture(scope="module")
def heu_ou(ou_key: okamoto_uchiyama.PrivateKey) -> Iterator[PeerProcess | None]:
    peer = PeerProcess.where_installed("heu", "heu_ops.py", "OU", str(ou_key.public_key.n_bits))
    yield peer
    if peer:
        peer.close()


class Phe:
    """python-paillier with the same primes, where it is installed."""

    def __init__(self, key: paillier.PrivateKey) -> None:
        phe = pytest.importorskip("phe", reason="the peer python-paillier is not installed: pip install phe")
        self.public = phe.PaillierPublicKey(key.public_key.n)
        self.private = phe.PaillierPrivateKey(self.public, key._p.p, key._q.p)
        self.values = [int(v) for v in RNG.integers(-(2**20), 2**20, 200)]
        self.encrypted = [self.public.encrypt(v, r_value=3) for v in self.values]

    def timed(self, count: int, call: Callable[[], Any], wanted: Callable[[Any], bool]) -> Callable[[], Rate]:
        def run() -> Rate:
            start = time.perf_counter()
            result = call()
            seconds = time.perf_counter() - start
            assert wanted(result)
            return Rate(count / seconds)

        return run

    def encrypt(self) -> Callable[[], Rate]:
        values = self.values[:6]
        return self.timed(
            6,
            lambda: [self.public.encrypt(v) for v in values],
            lambda found: self.private.decrypt(found[0]) == values[0],
        )

    def decrypt(self) -> Callable[[], Rate]:
        return self.timed(
            16,
            lambda: [self.private.decrypt(c) for c in self.encrypted[:16]],
            lambda m: m == self.values[:16],
        )

    def add(self) -> Callable[[], Rate]:
        pairs = list(zip(self.encrypted, reversed(self.encrypted), strict=True))
        return self.timed(
            200,
            lambda: [a + b for a, b in pairs],
            lambda found: self.private.decrypt(found[0]) == self.values[0] + self.values[-1],
        )

    def matmul(self, matrix: np.ndarray) -> Callable[[], Rate]:
        row = [int(x) for x in matrix[0]]
        wanted = sum(x * v for x, v in zip(row, self.values, strict=True))

        def product() -> Any:
            return sum(
                (c * x for c, x in zip(self.encrypted[1:], row[1:], strict=True)), self.encrypted[0] * row[0]
            )

        return self.timed(200, product, lambda found: self.private.decrypt(found) == wanted)

    def multiply(self) -> Callable[[], Rate]:
        row = [int(x) for x in MATRIX[0]]
        return self.timed(
            200,
            lambda: [c * x for c, x in zip(self.encrypted, row, strict=True)],
            lambda found: self.private.decrypt(found[7]) == self.values[7] * row[7],
        )


@pytest.fixture(scope="module")
def phe(key: paillier.PrivateKey) -> Phe:
    return Phe(key)


def _peers(
    phe: Callable[[], Rate] | None, heu: PeerProcess | None, operation: str
) -> dict[str, Callable[[], Rate]]:
    peers = {} if phe is None else {"phe": phe}
    return peers | ({"HEU": heu.peer(operation)} if heu else {})


def by(count: counts.Counts) -> Limit | None:
    return limits.by("bigint", count, "products of powers and of ciphertexts", backends.runnable("bigint")[0])


def encrypt_limit(n_bits: int, variant: str) -> Limit | None:
    if variant == "owner vartime":
        return None  # not counted
    if variant == "owner":
        return by(counts.encrypt_owner(n_bits))
    window = counts.SCANNED_WINDOW if variant == "public" else counts.DIRECT_WINDOW
    return by(counts.encrypt_public(n_bits, window))


@pytest.mark.parametrize("variant", ["owner", "owner vartime", "public", "public vartime"])
def test_encrypt(compare: Any, size: Any, key: Any, phe: Phe, heu: PeerProcess | None, variant: str) -> None:
    values = RNG.integers(-(2**20), 2**20, size(512, 4096))
    source = key if variant.startswith("owner") else key.public_key
    call = source.encrypt_vartime if variant.endswith("vartime") else source.encrypt

    def check(ours: Any, peers: Any) -> None:
        assert (key.decrypt(ours) == values).all()

    compare(
        f"paillier/encrypt {variant}/{key.public_key.n_bits}",
        lambda: call(values),
        items=len(values),
        check=check,
        peers=_peers(phe.encrypt(), heu, "encrypt"),
        unit="encryptions",
        limit=encrypt_limit(key.public_key.n_bits, variant),
        extra={"threads": 1, "constant_time": not variant.endswith("vartime")},
    )


def test_decrypt(compare: Any, size: Any, key: Any, phe: Phe, heu: PeerProcess | None) -> None:
    values = RNG.integers(-(2**20), 2**20, size(256, 2048))
    c = key.encrypt(values)

    def check(ours: Any, peers: Any) -> None:
        assert (ours == values).all()

    compare(
        f"paillier/decrypt/{key.public_key.n_bits}",
        lambda: key.decrypt(c),
        items=len(values),
        check=check,
        peers=_peers(phe.decrypt(), heu, "decrypt"),
        unit="decryptions",
        limit=by(counts.decrypt_paillier(key.public_key.n_bits)),
        extra={"threads": 1, "constant_time": True},
    )


def test_add(compare: Any, size: Any, key: Any, phe: Phe, heu: PeerProcess | None) -> None:
    values = RNG.integers(-(2**20), 2**20, (2, size(2048, 16384)))
    a, b = key.encrypt_vartime(values)

    def check(ours: Any, peers: Any) -> None:
        assert (key.decrypt(ours[:50]) == values.sum(0)[:50]).all()

    compare(
        f"paillier/add/{key.public_key.n_bits}",
        lambda: a + b,
        items=a.size,
        check=check,
        peers=_peers(phe.add(), heu, "add"),
        unit="additions",
        limit=by(counts.product(2 * key.public_key.n_bits)),
        extra={"threads": 1},
    )


def test_sum(compare: Any, key: Any, phe: Phe, heu: PeerProcess | None) -> None:
    values = RNG.integers(-(2**20), 2**20, 100)
    c = key.encrypt(values).broadcast_to((100, 100)).ravel()

    def check(ours: Any, peers: Any) -> None:
        assert key.decrypt(ours) == 100 * values.sum()

    compare(
        f"paillier/sum of 10,000/{key.public_key.n_bits}",
        c.sum,
        items=c.size,
        check=check,
        peers=_peers(phe.add(), heu, "add"),
        unit="additions",
        extra={"threads": 1, "peers": "additions one by one"},
    )


@pytest.mark.parametrize("variant", ["", " vartime"])
def test_multiply(compare: Any, size: Any, key: Any, phe: Phe, heu: PeerProcess | None, variant: str) -> None:
    values = RNG.integers(-(2**20), 2**20, size(512, 4096))
    factors = RNG.integers(0, 2**20, len(values))
    c = key.encrypt(values)
    call = c.multiply_vartime if variant else c.__mul__

    def check(ours: Any, peers: Any) -> None:
        assert (key.decrypt(ours) == values * factors).all()

    compare(
        f"paillier/multiply by 20 bits{variant}/{key.public_key.n_bits}",
        lambda: call(factors),
        items=len(values),
        check=check,
        peers=_peers(phe.multiply(), heu, "multiply"),
        unit="products",
        limit=by(counts.power(2 * key.public_key.n_bits, 20)),
        extra={"threads": 1, "constant_time": not variant},
    )


@pytest.mark.parametrize("variant", ["", " vartime"])
@pytest.mark.parametrize("signs", ["unsigned", "signed"])
def test_matmul(compare: Any, key: Any, phe: Phe, heu: PeerProcess | None, signs: str, variant: str) -> None:
    matrix = MATRIX if signs == "unsigned" else SIGNED
    values = RNG.integers(-(2**20), 2**20, 200)
    c = key.encrypt(values)

    def check(ours: Any, peers: Any) -> None:
        assert (key.decrypt(ours) == matrix @ values).all()

    compare(
        f"paillier/matmul 30x200 {signs} 20 bits{variant}/{key.public_key.n_bits}",
        lambda: c.rmatmul(matrix, vartime=bool(variant)),
        items=matrix.size,
        check=check,
        peers=_peers(phe.matmul(matrix), heu, "matmul" if signs == "unsigned" else "signed_matmul"),
        unit="products",
        extra={"threads": 1, "constant_time": not variant},
    )


def test_histogram(compare: Any, size: Any, key: Any, phe: Phe, heu: PeerProcess | None) -> None:
    n, n_features, n_bins = size(500, 4000), 10, 32
    values = RNG.integers(-(2**20), 2**20, n)
    bins = RNG.integers(0, n_bins, (n, n_features))
    c = key.encrypt_vartime(values)

    def check(ours: Any, peers: Any) -> None:
        wanted = [np.bincount(column, weights=values, minlength=n_bins) for column in bins.T]
        assert (key.decrypt(ours) == np.array(wanted, dtype=np.int64)).all()

    compare(
        f"paillier/histogram {n_features} features {n_bins} bins/{key.public_key.n_bits}",
        lambda: c.histogram(bins, n_bins),
        items=bins.size,
        check=check,
        peers=_peers(phe.add(), heu, "add"),
        unit="additions",
        extra={"threads": 1, "peers": "additions one by one"},
    )


@pytest.mark.parametrize("variant", ["", " vartime"])
def test_ou_encrypt(compare: Any, size: Any, ou_key: Any, heu_ou: PeerProcess | None, variant: str) -> None:
    values = RNG.integers(-(2**20), 2**20, size(2048, 8192))
    call = ou_key.encrypt_vartime if variant else ou_key.encrypt

    def check(ours: Any, peers: Any) -> None:
        assert (ou_key.decrypt(ours) == values).all()

    compare(
        f"okamoto_uchiyama/encrypt{variant}/{ou_key.public_key.n_bits}",
        lambda: call(values),
        items=len(values),
        check=check,
        peers=_peers(None, heu_ou, "encrypt"),
        unit="encryptions",
        extra={"threads": 1, "constant_time": not variant, "exponent_bits": ou_key.public_key.exponent_bits},
    )


@pytest.mark.parametrize("operation", ["decrypt", "add", "matmul", "signed_matmul"])
def test_ou_operations(compare: Any, ou_key: Any, heu_ou: PeerProcess | None, operation: str) -> None:
    values = RNG.integers(-(2**20), 2**20, 200 if "matmul" in operation else 2048)
    c = ou_key.encrypt(values)
    matrix = SIGNED if operation == "signed_matmul" else MATRIX
    call = {"decrypt": lambda: ou_key.decrypt(c), "add": lambda: c + c}.get(operation, lambda: matrix @ c)

    def check(ours: Any, peers: Any) -> None:
        if operation == "decrypt":
            assert (ours == values).all()
        elif operation == "add":
            assert (ou_key.decrypt(ours) == 2 * values).all()
        else:
            assert (ou_key.decrypt(ours) == matrix @ values).all()

    compare(
        f"okamoto_uchiyama/{operation}/{ou_key.public_key.n_bits}",
        call,
        items=matrix.size if "matmul" in operation else len(values),
        check=check,
        peers=_peers(None, heu_ou, operation),
        unit="operations",
        extra={"threads": 1},
    )


@pytest.fixture(scope="module", params=["okamoto_uchiyama", "paillier"])
def training_key(request: pytest.FixtureRequest) -> Any:
    scheme = {"okamoto_uchiyama": okamoto_uchiyama, "paillier": paillier}[request.param]
    return scheme.generate_keypair(2048)[1]


def _training_name(training_key: Any, what: str) -> str:
    return (
        f"{training_key.public_key.scheme.replace('-', '_').lower()}/{what}/{training_key.public_key.n_bits}"
    )


@pytest.mark.parametrize("variant", ["", " vartime"])
@pytest.mark.parametrize("shape", ["tall", "packed", "wide"])
def test_training_products(compare: Any, size: Any, training_key: Any, shape: str, variant: str) -> None:
    """Encrypted regression: features of 16 bits times encrypted weights, by rows of data and ten rows to a ciphertext;
    transposed features times encrypted residuals."""
    d, n = 30, size(1024, 4096)
    m, k = {"tall": (n, d), "packed": (n // 10, 10 * d), "wide": (d, n)}[shape]
    matrix = RNG.integers(-(2**15), 2**15, (m, k))
    values = RNG.integers(-(2**20), 2**20, k)
    c = training_key.encrypt(values)

    def check(ours: Any, peers: Any) -> None:
        assert (training_key.decrypt(ours) == matrix @ values).all()

    compare(
        _training_name(training_key, f"matmul {m}x{k} signed 16 bits{variant}"),
        lambda: c.rmatmul(matrix, vartime=bool(variant)),
        items=matrix.size,
        check=check,
        peers={},
        unit="products",
        extra={"threads": 1, "constant_time": not variant},
    )


def test_training_histogram(compare: Any, size: Any, training_key: Any) -> None:
    """Boosting: half of the rows of 30 features in 32 bins."""
    n = size(10_000, 100_000)
    values = RNG.integers(0, 2**20, 1000)
    bins = RNG.integers(0, 32, (n, 30)).astype(np.int8)
    index = np.sort(RNG.choice(n, n // 2, replace=False))
    repeats = np.arange(n) % len(values)
    c = training_key.encrypt_vartime(values)[repeats]

    def check(ours: Any, peers: Any) -> None:
        weights = values[repeats][index]
        wanted = [np.bincount(column, weights=weights, minlength=32) for column in bins[index].T]
        assert (training_key.decrypt(ours) == np.array(wanted, dtype=np.int64)).all()

    compare(
        _training_name(training_key, f"histogram {n // 2} of {n} rows 30 features 32 bins"),
        lambda: c.histogram(bins, 32, index=index),
        items=30 * len(index),
        check=check,
        peers={},
        unit="additions",
        extra={"threads": 1},
    )
