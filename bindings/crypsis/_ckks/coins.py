# SPDX-License-Identifier: Apache-2.0
"""Random polynomials: secret ones from a generator of the operating system's seed, public ones from 32-byte seeds."""

from __future__ import annotations

import os
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from crypsis import aes, ntt, sampling
from crypsis._homomorphic.wiping import wiping

SEED_BYTES = 32
UNIFORM_BYTES, TERNARY_BYTES, BINOMIAL_BYTES = 16, 8, 6
"""Of stream for a coefficient; see `crypsis.sampling`."""
CHUNK_BYTES = 1 << 20
"""Stream made at a time: it stays near the processor until it is reduced."""

Residues = npt.NDArray[np.uint64]
Small = npt.NDArray[np.int8]


class Filling(Protocol):
    """A source of random bytes."""

    def fill(self, out: Any) -> Any: ...


class Coins:
    """Secret randomness. Safe to share among threads; not across a fork with a seed (see `aes.Generator`)."""

    __slots__ = ("_generator",)

    def __init__(self, generator: aes.Generator | None = None) -> None:
        self._generator = aes.Generator() if generator is None else generator

    def ternary(self, shape: tuple[int, ...]) -> Small:
        """`int8` of -1, 0, 1, each with probability 1/3."""
        return self._small(sampling.ternary, TERNARY_BYTES, shape)

    def noise(self, shape: tuple[int, ...]) -> Small:
        """`int8`, centred binomial with standard deviation `SIGMA`."""
        return self._small(sampling.binomial, BINOMIAL_BYTES, shape)

    def fill(self, out: npt.NDArray[np.uint8]) -> None:
        """Uniform bytes over `out`."""
        self._generator.fill(out)

    def bytes(self, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        """`uint8`, uniform."""
        stream = np.empty(shape, np.uint8)
        self._generator.fill(stream)
        return stream

    def _small(self, sample: Any, n_bytes: int, shape: tuple[int, ...]) -> Small:
        with wiping() as secret:
            stream = secret(np.empty((*shape[:-1], shape[-1] * n_bytes), np.uint8))
            self._generator.fill(stream)
            values: Small = sample(stream, shape[-1])
            return values


def public_seed() -> bytes:
    """32 random bytes that everybody may know."""
    return os.urandom(SEED_BYTES)


def expand(seed: bytes, shape: tuple[int, ...], basis: ntt.Basis, *, first: int = 0) -> Residues:
    """The uniform polynomials `uint64[*shape, len(basis), N]` of a public seed, in the NTT domain.

    Polynomial i of the flattened shape takes 16-byte blocks from i * len(basis) * N on of the counter-mode key stream
    of seed[:16] that starts at counter seed[16:], big-endian; `first`: the number of the first one here.
    """
    limbs, n = len(basis), 1 << basis.log_n
    result = ntt.empty((*shape, limbs, n))
    flat = result.reshape(-1, limbs, n)
    start = int.from_bytes(seed[16:], "big")
    step = max(1, CHUNK_BYTES // (UNIFORM_BYTES * limbs * n))
    stream = np.empty((min(step, len(flat)) * limbs * n, 16), np.uint8)
    for at in range(0, len(flat), step):
        rows = min(step, len(flat) - at)
        blocks = stream[: rows * limbs * n]
        counter = (start + (first + at) * limbs * n) % (1 << 128)
        aes.ctr_stream(seed[:16], len(blocks), counter=counter, out=blocks)
        sampling.uniform(blocks.reshape(rows, limbs, n, 16), basis, out=flat[at : at + rows])
    return result
