# SPDX-License-Identifier: Apache-2.0
"""rns on one core at the chains of the CKKS benchmark: what multiplying and rotating stand on.

Beside each call, the transforms alone that it cannot do without: the ratio is what all else costs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.conftest import Compare
from crypsis import backends, ntt, rns

every_backend = pytest.mark.parametrize("backend", backends.runnable("rns"))
CHAINS = {"8192 {60,40,40,60}": (13, (60, 40, 40)), "16384 {60,40 x 7,60}": (14, (60,) + (40,) * 7)}
every_chain = pytest.mark.parametrize("name", CHAINS)


def make(name: str) -> tuple[rns.Chain, np.ndarray, np.ndarray, np.ndarray]:
    """A chain; a polynomial, two to add and a key, all at its highest level."""
    log_n, bits = CHAINS[name]
    primes = ntt.find_primes(log_n, (60, *bits))
    chain = rns.Chain(log_n, primes[1:], primes[:1])
    level = len(bits) - 1
    rng = np.random.default_rng(1)

    def random(basis: ntt.Basis, *lead: int) -> np.ndarray:
        limbs = [rng.integers(0, p, (*lead, basis.n), dtype=np.uint64) for p in basis.primes]
        return np.stack(limbs, axis=-2)

    basis = chain.basis(level)
    return chain, random(basis), random(basis, 2), random(chain.full(level), chain.dnum, 2)


def transforms_alone(chain: rns.Chain, rescale: bool, backend: str) -> Callable[[], object]:
    """As many transforms a modulus as a key switch at the highest level has, and nothing else."""
    level = len(chain.moduli) - 1
    special = len(chain.special)
    gone = [2 if i >= level + 1 or (rescale and i == level) else 0 for i in range(level + 1 + special)]
    forwards = [level + 1 - (i <= level) + (2 if not gone[i] else 0) for i in range(level + 1 + special)]
    inverses = [gone[i] + (i <= level) for i in range(level + 1 + special)]
    bases = [chain.full(level)[i : i + 1] for i in range(level + 1 + special)]
    rows = [np.ones((max(f, v), 1, chain.n), np.uint64) for f, v in zip(forwards, inverses, strict=True)]

    def run() -> None:
        for basis, row, f, v in zip(bases, rows, forwards, inverses, strict=True):
            ntt.forward(row[:f], basis, out=row[:f], backend=backend, threads=1)
            ntt.inverse(row[:v], basis, out=row[:v], backend=backend, threads=1)

    return run


@every_backend
@every_chain
@pytest.mark.parametrize("rescale", [False, True], ids=["switch", "switch and rescale"])
def test_switch_key(compare: Compare, name: str, backend: str, rescale: bool) -> None:
    chain, c, add, key = make(name)
    level = len(chain.moduli) - 1
    options = {"backend": backend, "threads": 1}
    out = np.empty((2, level + 1 - rescale, chain.n), np.uint64)
    product = rns.inner_product(rns.decompose(c, chain, level), key, chain, level)
    divide = rns.divide_special_and_rescale if rescale else rns.divide_special
    want = divide(product, chain, level, add=add)
    compare(
        f"rns/switch_key{' and rescale' if rescale else ''}/{name}/{backend}",
        lambda: rns.switch_key(c, key, chain, level, add=add, rescale=rescale, out=out, **options),
        items=1,
        unit="polynomials",
        check=lambda result, _: np.testing.assert_array_equal(result, want),
        peers={"its transforms alone": transforms_alone(chain, rescale, backend)},
        extra={"backend": backend, "threads": 1},
    )


@every_backend
@every_chain
def test_rotation_by_hoisted_digits(compare: Compare, name: str, backend: str) -> None:
    """What a further rotation of one ciphertext costs once its digits are there."""
    chain, c, _, key = make(name)
    level = len(chain.moduli) - 1
    digits = rns.decompose(c, chain, level)
    product = np.empty((2, len(chain.full(level)), chain.n), np.uint64)
    out = np.empty((2, level + 1, chain.n), np.uint64)
    want = rns.switch_key(c, key, chain, level, galois=5)

    def run() -> np.ndarray:
        rns.inner_product(digits, key, chain, level, galois=5, out=product, backend=backend, threads=1)
        return rns.divide_special(product, chain, level, out=out, backend=backend, threads=1)

    compare(
        f"rns/hoisted rotation/{name}/{backend}",
        run,
        items=1,
        unit="polynomials",
        check=lambda result, _: np.testing.assert_array_equal(result, want),
        extra={"backend": backend, "threads": 1},
    )


@every_backend
@every_chain
def test_rescale(compare: Compare, name: str, backend: str) -> None:
    chain, _, x, _ = make(name)
    level = len(chain.moduli) - 1
    out = np.empty((2, level, chain.n), np.uint64)
    want = rns.rescale(x, chain, level, backend="portable")
    compare(
        f"rns/rescale/{name}/{backend}",
        lambda: rns.rescale(x, chain, level, out=out, backend=backend, threads=1),
        items=2,
        unit="polynomials",
        check=lambda result, _: np.testing.assert_array_equal(result, want),
        extra={"backend": backend, "threads": 1},
    )


@every_backend
@pytest.mark.parametrize("limbs", [1, 2, 3, 8])
def test_compose(compare: Compare, limbs: int, backend: str) -> None:
    chain, x, _, _ = make("16384 {60,40 x 7,60}")
    x = np.ascontiguousarray(x[:limbs])
    out = np.empty(chain.n)
    want = rns.compose(x, chain, limbs - 1, backend="portable")
    compare(
        f"rns/compose/{limbs} limbs/{backend}",
        lambda: rns.compose(x, chain, limbs - 1, out=out, backend=backend, threads=1),
        items=chain.n,
        unit="coefficients",
        check=lambda result, _: np.testing.assert_array_equal(result, want),
        extra={"backend": backend, "threads": 1},
    )
