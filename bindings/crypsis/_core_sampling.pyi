# SPDX-License-Identifier: Apache-2.0
"""The submodule `sampling` of `_core`: a file for type checkers only."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crypsis._core import BackendStatus

class Sampling:
    """A submodule; arrays are C-contiguous and checked by sampling.py."""

    WIDE_BYTES: int
    TERNARY_BYTES: int
    BINOMIAL_BYTES: int
    COINS: int
    MAX_FLOOD_BITS: int
    def backends(self) -> list[BackendStatus]: ...
    def uniform(
        self,
        stream: npt.NDArray[np.uint8],
        primes: Sequence[int],
        out: npt.NDArray[np.uint64],
        backend: str,
        threads: int,
    ) -> None: ...
    def flood(
        self,
        stream: npt.NDArray[np.uint8],
        bits: int,
        primes: Sequence[int],
        out: npt.NDArray[np.uint64],
        backend: str,
        threads: int,
    ) -> None: ...
    def ternary(
        self, stream: npt.NDArray[np.uint8], out: npt.NDArray[np.int8], backend: str, threads: int
    ) -> None: ...
    def binomial(
        self, stream: npt.NDArray[np.uint8], out: npt.NDArray[np.int8], backend: str, threads: int
    ) -> None: ...
