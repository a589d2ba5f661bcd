# SPDX-License-Identifier: Apache-2.0
"""rns: known answers, differential against the reference, and exact properties, over every backend."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis import backends, ntt, rns
from reference import rns as reference

BACKENDS = backends.runnable("rns")
every_backend = pytest.mark.parametrize("backend", BACKENDS)
VECTORS = json.loads((Path(__file__).parent / "vectors" / "rns.json").read_text())
Words = np.ndarray


@dataclass(frozen=True)
class Case:
    """A chain by the bits of its moduli."""

    log_n: int
    bits: tuple[int, ...]
    special: tuple[int, ...]
    dnum: int | None = None

    def __str__(self) -> str:
        return f"{self.log_n}-{'.'.join(map(str, self.bits))}-{'.'.join(map(str, self.special))}-{self.dnum}"

    def chain(self) -> rns.Chain:
        # The special moduli first: they are the largest of their size, no digit's product then exceeds theirs.
        primes = ntt.find_primes(self.log_n, self.special + self.bits)
        k = len(self.special)
        return rns.Chain(self.log_n, primes[k:], primes[:k], dnum=self.dnum)


CASES = (
    Case(3, (30,), (30,)),
    Case(2, (60, 40), (60,)),
    Case(4, (60, 40, 40), (60,)),
    Case(5, (40, 60, 30, 50), (60, 60), 2),
    Case(3, (60, 40, 40, 40, 40, 40, 40, 40, 60), (60, 60, 60), 3),
    Case(4, (60, 60, 60, 60, 60), (60, 60, 60), 2),
    Case(4, (50, 50, 50, 50), (50, 50, 50, 50), 1),
    Case(5, (30, 30, 30, 30, 30, 30, 30), (45, 55), 4),
    Case(3, (49, 50, 51, 35), (60,)),
    Case(4, (45, 30, 55), (40, 40, 40), 3),
)
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def twin(chain: rns.Chain) -> reference.Chain:
    return reference.Chain(chain.moduli.primes, chain.special.primes, chain.alpha)


def residues(rng: np.random.Generator, basis: ntt.Basis, *lead: int) -> Words:
    """Random residues of which about an eighth is an extreme: 0, 1, (p - 1) / 2 and its neighbour, p - 1."""
    limbs = []
    for p in basis.primes:
        limb = rng.integers(0, p, (*lead, basis.n), dtype=np.uint64)
        extremes = np.array([0, 1, (p - 1) // 2, (p + 1) // 2, p - 1], np.uint64)
        limbs.append(np.where(rng.random(limb.shape) < 0.125, rng.choice(extremes, limb.shape), limb))
    return np.stack(limbs, axis=-2)


def array(values: Any) -> Words:
    return np.array(values, np.uint64)


def top(chain: rns.Chain) -> int:
    return len(chain.moduli) - 1


# Known answers


@every_backend
def test_known_answers(backend: str) -> None:
    for case in VECTORS["cases"]:
        chain = rns.Chain(case["log_n"], case["moduli"], case["special"], dnum=case["dnum"])
        level, galois = case["level"], case["galois"]
        basis, full = chain.basis(level), chain.full(level)
        c, key = array(case["c"]), ntt.forward(array(case["key"]), chain.full(top(chain)))
        assert rns.compose(c, chain, level, backend=backend).tolist() == [
            float.fromhex(value) for value in case["compose"]
        ]
        c = ntt.forward(c, basis)
        digits = rns.decompose(c, chain, level, backend=backend)
        assert ntt.inverse(digits, full).tolist() == case["digits"]
        product = rns.inner_product(digits, key, chain, level, galois=galois, backend=backend)
        assert ntt.inverse(product, full).tolist() == case["product"]
        switched = rns.switch_key(c, key, chain, level, galois=galois, backend=backend)
        assert ntt.inverse(switched, basis).tolist() == case["switched"]
        if level:
            rescaled = rns.rescale(switched, chain, level, backend=backend)
            assert ntt.inverse(rescaled, chain.basis(level - 1)).tolist() == case["rescaled"]


# Differential: every chain, every level


@every_case
def test_digits_against_the_reference(case: Case) -> None:
    chain, rng = case.chain(), np.random.default_rng(1)
    for level in range(len(chain.moduli)):
        basis, full = chain.basis(level), chain.full(level)
        c = residues(rng, basis, 2)
        want = [
            [reference.reduce(digit, full.primes) for digit in reference.decompose(x, twin(chain), level)]
            for x in c.tolist()
        ]
        for backend in BACKENDS:
            digits = rns.decompose(ntt.forward(c, basis), chain, level, backend=backend)
            assert ntt.inverse(digits, full).tolist() == want


@every_case
def test_inner_products_against_the_reference(case: Case) -> None:
    chain, rng = case.chain(), np.random.default_rng(2)
    whole = chain.full(top(chain))
    key = residues(rng, whole, chain.dnum, 2)
    for level in range(len(chain.moduli)):
        full = chain.full(level)
        digits = residues(rng, full, 2, chain.n_digits(level))
        galois = int(rng.integers(0, chain.n)) * 2 + 1
        # Residues are polynomials of their own, so the reference takes one modulus at a time.
        rows = [*range(level + 1), *range(len(chain.moduli), len(whole))]
        want = np.empty((2, 2, len(full), chain.n), np.uint64)
        for item in range(2):
            for limb, (row, p) in enumerate(zip(rows, full.primes, strict=True)):
                one = reference.Chain((p,), (), 1)
                keys = key[:, :, row : row + 1].tolist()
                halves = reference.inner_product(digits[item, :, limb].tolist(), keys, one, 0, galois)
                want[item, :, limb] = array(halves)[:, 0]
        for backend in BACKENDS:
            found = rns.inner_product(
                ntt.forward(digits, full),
                ntt.forward(key, whole),
                chain,
                level,
                galois=galois,
                backend=backend,
            )
            assert np.array_equal(ntt.inverse(found, full), want)


@every_case
def test_divisions_against_the_reference(case: Case) -> None:
    chain, rng = case.chain(), np.random.default_rng(3)
    for level in range(len(chain.moduli)):
        basis, full = chain.basis(level), chain.full(level)
        x, add = residues(rng, full, 3), residues(rng, basis, 3)
        quotient = array([reference.divide_special(one, twin(chain), level) for one in x.tolist()])
        total = ntt.add(quotient, add, basis)
        forward = {"add": ntt.forward(add, basis)}
        for backend in BACKENDS:
            found = rns.divide_special(ntt.forward(x, full), chain, level, backend=backend)
            assert np.array_equal(ntt.inverse(found, basis), quotient)
            found = rns.divide_special(ntt.forward(x, full), chain, level, backend=backend, **forward)
            assert np.array_equal(ntt.inverse(found, basis), total)
        if level == 0:
            continue
        lower = chain.basis(level - 1)
        for summand, source in (({}, quotient), (forward, total)):
            rescaled = array([reference.rescale(one, twin(chain), level) for one in source.tolist()])
            for backend in BACKENDS:
                found = rns.rescale(ntt.forward(source, basis), chain, level, backend=backend)
                assert np.array_equal(ntt.inverse(found, lower), rescaled)
                found = rns.divide_special_and_rescale(
                    ntt.forward(x, full), chain, level, backend=backend, **summand
                )
                assert np.array_equal(ntt.inverse(found, lower), rescaled)


@every_backend
@every_case
@pytest.mark.parametrize("threads", [1, 3])
def test_switching_is_its_three_steps(case: Case, backend: str, threads: int) -> None:
    """And the automorphism of the whole: c and the summand before it, digits and divisions after it."""
    chain, rng = case.chain(), np.random.default_rng(4)
    options: dict[str, Any] = {"backend": backend, "threads": threads}
    key = residues(rng, chain.full(top(chain)), chain.dnum, 2)
    for level in range(len(chain.moduli)):
        basis = chain.basis(level)
        for lead, galois in (((), 1), ((2, 2), 5), ((1,), 2 * chain.n - 1)):
            c, both = residues(rng, basis, *lead), residues(rng, basis, *lead, 2)
            first = np.ascontiguousarray(both[..., :1, :, :])
            moved = ntt.automorphism(both, galois, basis)
            padded = moved.copy()
            padded[..., 1, :, :] = 0
            digits = rns.decompose(c, chain, level, **options)
            product = rns.inner_product(digits, key, chain, level, galois=galois, **options)
            for add, plain in ((None, None), (both, moved), (first, padded)):
                want = rns.divide_special(product, chain, level, add=plain, **options)
                found = rns.switch_key(c, key, chain, level, galois=galois, add=add, **options)
                assert np.array_equal(found, want)
                if level:
                    found = rns.switch_key(
                        c, key, chain, level, galois=galois, add=add, rescale=True, **options
                    )
                    assert np.array_equal(found, rns.rescale(want, chain, level, **options))


@every_backend
@every_case
def test_digits_commute_with_automorphisms(case: Case, backend: str) -> None:
    """Hoisting loses no bit: centred residues modulo odd numbers change their sign with what they are of."""
    chain, rng = case.chain(), np.random.default_rng(5)
    for level in range(len(chain.moduli)):
        c = residues(rng, chain.basis(level), 2)
        for galois in (3, 5, chain.n + 1, 2 * chain.n - 1):
            moved = ntt.automorphism(c, galois, chain.basis(level))
            digits = rns.decompose(c, chain, level, backend=backend)
            assert np.array_equal(
                rns.decompose(moved, chain, level, backend=backend),
                ntt.automorphism(digits, galois, chain.full(level)),
            )


@pytest.mark.parametrize("log_n", [10, 12, 13])
def test_backends_agree_at_larger_degrees(log_n: int) -> None:
    chain, rng = Case(log_n, (60, 40, 40, 50), (60, 60), 2).chain(), np.random.default_rng(6)
    key = residues(rng, chain.full(3), chain.dnum, 2)
    for level in (3, 1):
        c, both = residues(rng, chain.basis(level)), residues(rng, chain.basis(level), 2)
        results = [
            rns.switch_key(c, key, chain, level, galois=5, add=both, rescale=True, backend=b)
            for b in BACKENDS
        ]
        doubles = [rns.compose(c, chain, level, backend=b) for b in BACKENDS]
        for other, values in zip(results[1:], doubles[1:], strict=True):
            assert np.array_equal(other, results[0])
            assert np.array_equal(values, doubles[0])


# Properties

seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, case=st.sampled_from(CASES), data=st.data())
@settings(max_examples=40)
def test_divisions_are_within_one_half(seed: int, case: Case, data: st.DataObject) -> None:
    """2 |round(x / d) d - x| <= d - 1, in exact integers."""
    chain = case.chain()
    level = data.draw(st.integers(0, top(chain)))
    backend = data.draw(st.sampled_from(BACKENDS))
    full, basis = chain.full(level), chain.basis(level)
    x = residues(np.random.default_rng(seed), full)
    found = ntt.inverse(rns.divide_special(ntt.forward(x, full), chain, level, backend=backend), basis)
    divisor = math.prod(chain.special.primes)
    rest = basis.primes
    for value, quotient in zip(
        reference.combine(x.tolist(), full.primes), reference.combine(found.tolist(), rest), strict=True
    ):
        # Only the outermost quotient may have left the centred range, where it wraps round.
        gap = reference.centred(quotient - reference.divide_round(value, divisor), math.prod(rest))
        assert gap == 0
        assert 2 * abs(reference.divide_round(value, divisor) * divisor - value) <= divisor - 1
    if level:
        rescaled = rns.rescale(ntt.forward(x[: level + 1].copy(), basis), chain, level, backend=backend)
        found = ntt.inverse(rescaled, chain.basis(level - 1))
        values = rns.compose_ints(np.ascontiguousarray(x[: level + 1]), chain, level)
        for value, quotient in zip(values, rns.compose_ints(found, chain, level - 1), strict=True):
            error = 2 * abs(quotient * rest[level] - value)
            assert error <= rest[level] - 1 or abs(2 * value) >= math.prod(rest) - rest[level]


@given(seed=seeds, case=st.sampled_from(CASES), data=st.data())
@settings(max_examples=30)
def test_digits_recombine_and_are_small(seed: int, case: Case, data: st.DataObject) -> None:
    """sum of digit_j g_j = c, with g_j one modulo digit j's moduli and zero modulo the others; |digit| < D / 2."""
    chain = case.chain()
    level = data.draw(st.integers(0, top(chain)))
    basis, full = chain.basis(level), chain.full(level)
    c = residues(np.random.default_rng(seed), basis)
    digits = rns.decompose(ntt.forward(c, basis), chain, level, backend=data.draw(st.sampled_from(BACKENDS)))
    coefficients = ntt.inverse(digits, full)
    for j, moduli in enumerate(twin(chain).digits(level)):
        own = slice(j * chain.alpha, j * chain.alpha + len(moduli))
        assert np.array_equal(coefficients[j, own], c[own])
        values = reference.combine(coefficients[j].tolist(), full.primes)
        assert all(2 * abs(value) < math.prod(moduli) for value in values)


@given(seed=seeds, case=st.sampled_from(CASES), data=st.data())
@settings(max_examples=30)
def test_switching_keeps_the_message_within_the_bound(seed: int, case: Case, data: st.DataObject) -> None:
    """Under s, the pair is c s' + noise: |noise| <= dnum D_max / 2 N e_max / P + (1 + |s|_1) / 2, exactly.

    The key is made as a scheme does: row j is (-a s + e_j + P g_j s', a) for a random a and small e_j.
    """
    chain, rng = case.chain(), np.random.default_rng(seed)
    level = data.draw(st.integers(0, top(chain)))
    galois = data.draw(st.integers(0, chain.n - 1)) * 2 + 1
    n, whole, basis = chain.n, chain.full(top(chain)), chain.basis(level)
    secret, other = rng.integers(-1, 2, (2, n))
    noise = rng.integers(-20, 21, (chain.dnum, n))
    transformed = [ntt.forward(ntt.from_signed(x, whole), whole) for x in (secret, other, noise)]
    s, s_other, e = transformed
    key = residues(rng, whole, chain.dnum, 2)
    mask = np.ascontiguousarray(key[:, 1])
    body = ntt.subtract(e, ntt.multiply(mask, s, whole), whole)
    special = math.prod(chain.special.primes)
    hidden = ntt.scale(s_other, special, whole)
    for j in range(chain.dnum):
        own = slice(j * chain.alpha, min((j + 1) * chain.alpha, len(chain.moduli)))
        padded = np.zeros_like(hidden)
        padded[own] = hidden[own]
        body[j] = ntt.add(body[j], padded, whole)
    key[:, 0] = body
    c = residues(rng, basis)
    pair = rns.switch_key(
        ntt.forward(c, basis),
        key,
        chain,
        level,
        galois=galois,
        backend=data.draw(st.sampled_from(BACKENDS)),
    )
    under = np.ascontiguousarray(s[: level + 1])
    decrypted = ntt.add(ntt.multiply(pair[1].copy(), under, basis), pair[0].copy(), basis)
    want = ntt.multiply(
        ntt.automorphism(ntt.forward(c, basis), galois, basis),
        np.ascontiguousarray(s_other[: level + 1]),
        basis,
    )
    errors = rns.compose_ints(ntt.inverse(ntt.subtract(decrypted, want, basis), basis), chain, level)
    largest = [math.prod(moduli) for moduli in twin(chain).digits(level)]
    bound = sum((d - 1) // 2 * n * 20 for d in largest) / special + (1 + np.abs(secret).sum()) / 2
    assert max(map(abs, errors)) <= math.ceil(bound)


# Composition


@every_case
def test_composition_is_the_nearest_double(case: Case) -> None:
    chain, rng = case.chain(), np.random.default_rng(7)
    for level in range(len(chain.moduli)):
        x = residues(rng, chain.basis(level), 6)
        want = [reference.compose(one, twin(chain), level) for one in x.tolist()]
        ints = [reference.combine(one, chain.basis(level).primes) for one in x.tolist()]
        assert rns.compose_ints(x, chain, level) == ints
        for backend in BACKENDS:
            assert rns.compose(x, chain, level, backend=backend).tolist() == want


@every_backend
@every_case
def test_composition_at_the_edges(case: Case, backend: str) -> None:
    """0, the ends of the range, ties between doubles and their neighbours, each power of two."""
    chain = case.chain()
    for level in range(len(chain.moduli)):
        primes = chain.basis(level).primes
        half = (math.prod(primes) - 1) // 2
        values = [0, 1, half, half - 1, half // 2]
        for bits in range(1, half.bit_length(), 7 if half.bit_length() > 80 else 1):
            for tie in (0, 1 << bits >> 53, 3 << bits >> 54, 3 << bits >> 53):
                values += [(1 << bits) + tie + d for d in (-1, 0, 1)]
        values = [v for v in {*values, *(-v for v in values)} if abs(v) <= half]
        values += [0] * (-len(values) % chain.n)
        x = array([[v % p for v in values] for p in primes])
        x = np.ascontiguousarray(x.reshape(len(primes), -1, chain.n).swapaxes(0, 1))
        found = rns.compose(x, chain, level, backend=backend)
        assert found.ravel().tolist() == [reference.to_float(v) for v in values]
        assert not np.signbit(found[found == 0]).any()


@every_backend
def test_composition_beyond_the_doubles_is_infinite(backend: str) -> None:
    chain = Case(3, (60,) * 20, (60,)).chain()
    primes = chain.moduli.primes
    largest = 2**1024 - 2**970
    values = [largest - 1, largest, -largest + 1, -largest, 2**1023, 2**1150, -(2**1150), 2**1024 - 2**971]
    x = array([[v % p for v in values] for p in primes])
    found = rns.compose(x, chain, top(chain), backend=backend)
    assert found.tolist() == [reference.to_float(v) for v in values]
