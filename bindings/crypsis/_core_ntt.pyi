# SPDX-License-Identifier: Apache-2.0
"""The submodule `ntt` of `_core`: a file for type checkers only."""

from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis._core import BackendStatus

_Words = npt.NDArray[np.uint64]

class NttBasis:
    """`_core.ntt.Basis`: what csrc calls Basis; limbs share their tables."""

    def __init__(self, log_n: int, primes: list[int]) -> None: ...
    def primes(self) -> list[int]: ...
    def roots(self) -> list[int]: ...
    def take(self, limbs: list[int]) -> NttBasis: ...
    def join(self, other: NttBasis) -> NttBasis: ...

class Ntt:
    """A submodule; arrays are C-contiguous and checked by ntt.py."""

    MIN_LOG_N: int
    MAX_LOG_N: int
    Basis: type[NttBasis]
    def backends(self) -> list[BackendStatus]: ...
    def find_primes(self, log_n: int, bits: list[int]) -> list[int]: ...
    def forward(self, basis: NttBasis, values: _Words, out: _Words, backend: str, threads: int) -> None: ...
    def inverse(self, basis: NttBasis, values: _Words, out: _Words, backend: str, threads: int) -> None: ...
    def pointwise(
        self,
        operation: int,
        basis: NttBasis,
        a: _Words,
        b: _Words | None,
        b_repeat: int,
        c: _Words | None,
        c_repeat: int,
        out: _Words,
        backend: str,
        threads: int,
    ) -> None: ...
    def empty(self, shape: tuple[int, ...]) -> _Words: ...
    def tensor(
        self, basis: NttBasis, x: _Words, y: _Words, out: _Words, backend: str, threads: int
    ) -> None: ...
    def scale(
        self, basis: NttBasis, a: _Words, constants: list[int], out: _Words, backend: str, threads: int
    ) -> None: ...
    def automorphism(
        self,
        basis: NttBasis,
        a: _Words,
        galois: int,
        ntt_domain: bool,
        out: _Words,
        backend: str,
        threads: int,
    ) -> None: ...
    def from_signed(
        self,
        basis: NttBasis,
        values: npt.NDArray[np.signedinteger[Any]],
        out: _Words,
        backend: str,
        threads: int,
    ) -> None: ...
