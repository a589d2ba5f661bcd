# SPDX-License-Identifier: Apache-2.0
"""Sums of products of rotations of ciphertexts with plaintexts: what a matrix spends its time on [HS18, BMTH21]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from crypsis import _arguments, _core, ntt, rns
from crypsis._ckks.places import contiguous, empty

MAX_ROTATIONS = _core.rns.MAX_ROTATIONS
"""Most rotations of a call of `rotated_sums`."""


def rotated_sums(
    c: Any,
    digits: Any,
    rotations: Sequence[tuple[int, Any | None]],
    factors: Any,
    products: Sequence[tuple[int, int]],
    chain: rns.Chain,
    level: int,
    *,
    out: Any | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Any:
    """Sums of products of rotations of (c0, c1) with plaintexts, all times P and over the full moduli: hoisting twice.

    c: `uint64[n, 2, level + 1, N]`. digits: `decompose` of the c1, `uint64[n, n_digits(level), level + 1 + k, N]`.
    rotations: (galois, key) of each, key as for `inner_product` or None for galois 1; MAX_ROTATIONS at most. factors:
    `uint64[n_products, level + 1 + k, N]`, polynomials over the full moduli. products: (sum, rotation) that each factor
    belongs to, both counted from 0, no pair twice. Returns `uint64[n_sums, n, 2, level + 1 + k, N]`: entry s is the sum
    over its products of factor (inner_product(digits, key, galois) + (P c0(X^galois), 0)), with factor P (c0, c1) where
    there is no key. Divide by P with `divide_special`, once a sum.
    """
    if type(c) is not np.ndarray:
        return unfused(c, digits, rotations, factors, products, chain, level)
    level = rns._level(chain, level)
    n_full = len(chain.full(level))
    c = rns._words("c", c, 2, level + 1, chain.n)
    digits = rns._words("digits", digits, chain.n_digits(level), n_full, chain.n)
    factors = rns._words("factors", factors, n_full, chain.n)
    if c.ndim != 4 or digits.ndim != 4 or len(digits) != len(c):
        raise ValueError(
            f"c and digits have shapes {c.shape} and {digits.shape}: give one leading axis, the same"
        )
    if not 1 <= len(rotations) <= MAX_ROTATIONS:
        raise ValueError(f"rotations has {len(rotations)} entries: give 1 to {MAX_ROTATIONS}")
    keys = [None if key is None else rns._key(key, chain) for _, key in rotations]
    galois = [rns._galois(g, chain) for g, _ in rotations]
    for i, (g, key) in enumerate(zip(galois, keys, strict=True)):
        if key is None and g != 1:
            raise ValueError(f"rotations[{i}] has galois {g} and no key: only 1 needs none")
    if factors.ndim != 3 or len(factors) != len(products) or not len(products):
        raise ValueError(
            f"factors has shape {factors.shape}, products {len(products)} entries: give a factor for each, one at least"
        )
    if len(set(products)) != len(products):
        raise ValueError("products has a pair twice: add up their factors")
    sums = [
        _arguments.integer(f"products[{i}][0]", s, 0, len(products) - 1) for i, (s, _) in enumerate(products)
    ]
    turns = [
        _arguments.integer(f"products[{i}][1]", r, 0, len(keys) - 1) for i, (_, r) in enumerate(products)
    ]
    n_sums = max(sums) + 1
    if len(set(sums)) != n_sums:
        raise ValueError(
            f"products name {len(set(sums))} sums up to number {n_sums - 1}: number them without gaps"
        )
    held = {f"rotations[{i}]": key for i, key in enumerate(keys)}
    result = rns._output(
        out, (n_sums, len(c), 2, n_full, chain.n), c=c, digits=digits, factors=factors, **held
    )
    _core.rns.rotated_sums(
        chain._handle,
        level,
        c,
        digits,
        keys,
        galois,
        factors,
        sums,
        turns,
        n_sums,
        len(c),
        result,
        *rns._options(backend, threads),
    )
    return result


def unfused(
    c: Any,
    digits: Any,
    rotations: Sequence[tuple[int, Any]],
    factors: Any,
    products: Sequence[tuple[int, int]],
    chain: rns.Chain,
    level: int,
) -> Any:
    """The same by the calls that it fuses, as GPUs have them: one rotation after the other, in memory."""
    full = chain.full(level)
    special = [math.prod(chain.special.primes) % prime for prime in full.primes]
    wide = empty((len(c), 2, len(full), chain.n), c)
    wide.fill(0)
    wide[:, :, : level + 1] = c
    ntt.scale(wide, special, full, out=wide)
    sums = empty((1 + max(s for s, _ in products), *wide.shape), c)
    sums.fill(0)
    first = contiguous(wide[:, 0])
    for r, (element, key) in enumerate(rotations):
        turned = wide
        if key is not None:
            turned = rns.inner_product(digits, key, chain, level, galois=element)
            moved = ntt.automorphism(first, element, full)
            turned[:, 0] = ntt.add(contiguous(turned[:, 0]), moved, full)
        for factor, (s, rotation) in zip(factors, products, strict=True):
            if rotation == r:
                ntt.multiply_add(turned, factor, sums[s], full, out=sums[s])
    return sums
