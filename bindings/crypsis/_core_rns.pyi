# SPDX-License-Identifier: Apache-2.0
"""The submodule `rns` of `_core`: a file for type checkers only."""

import numpy as np
import numpy.typing as npt

from crypsis._core import BackendStatus
from crypsis._core_ntt import NttBasis

_Words = npt.NDArray[np.uint64]

class RnsChain:
    """`_core.rns.Chain`."""

    def __init__(self, moduli: NttBasis, special: NttBasis, alpha: int) -> None: ...

class Rns:
    """A submodule; arrays are C-contiguous and checked by rns.py."""

    MAX_MODULI: int
    MAX_ROTATIONS: int
    Chain: type[RnsChain]
    def backends(self) -> list[BackendStatus]: ...
    def decompose(
        self, chain: RnsChain, level: int, c: _Words, n: int, out: _Words, backend: str, threads: int
    ) -> None: ...
    def inner_product(
        self,
        chain: RnsChain,
        level: int,
        digits: _Words,
        n: int,
        key: _Words,
        galois: int,
        out: _Words,
        backend: str,
        threads: int,
    ) -> None: ...
    def divide_special(
        self,
        chain: RnsChain,
        level: int,
        x: _Words,
        add: _Words | None,
        n: int,
        rescale: bool,
        out: _Words,
        backend: str,
        threads: int,
    ) -> None: ...
    def rescale(
        self, chain: RnsChain, level: int, x: _Words, n: int, out: _Words, backend: str, threads: int
    ) -> None: ...
    def switch_key(
        self,
        chain: RnsChain,
        level: int,
        c: _Words,
        key: _Words,
        add: _Words | None,
        n_added: int,
        galois: int,
        rescale: bool,
        n: int,
        out: _Words,
        backend: str,
        threads: int,
    ) -> None: ...
    def rotated_sums(
        self,
        chain: RnsChain,
        level: int,
        c: _Words,
        digits: _Words,
        keys: list[_Words | None],
        galois: list[int],
        factors: _Words,
        sums: list[int],
        rotations: list[int],
        n_sums: int,
        n: int,
        out: _Words,
        backend: str,
        threads: int,
    ) -> None: ...
    def pair_products(
        self,
        basis: NttBasis,
        factors: _Words,
        first: _Words,
        second: _Words,
        out0: _Words,
        out1: _Words,
        backend: str,
        threads: int,
    ) -> None: ...
    def pack(self, values: _Words, bits: list[int], out: npt.NDArray[np.uint8]) -> None: ...
    def unpack(
        self, data: npt.NDArray[np.uint8], primes: list[int], bits: list[int], out: _Words
    ) -> tuple[bool, bool]: ...
    def compose(
        self,
        chain: RnsChain,
        level: int,
        x: _Words,
        n: int,
        out: npt.NDArray[np.float64],
        backend: str,
        threads: int,
    ) -> None: ...
