# SPDX-License-Identifier: Apache-2.0
"""The compiled extension. Private: use the modules of the package."""

from typing import Any

import numpy as np
import numpy.typing as npt

class BackendStatus:
    @property
    def slug(self) -> str: ...
    @property
    def variant(self) -> str: ...
    @property
    def backend(self) -> str: ...
    @property
    def compiled(self) -> bool: ...
    @property
    def supported(self) -> bool: ...
    @property
    def chosen(self) -> bool: ...
    @property
    def reason(self) -> str: ...

SLUGS: tuple[str, ...]

def cpu_features() -> str: ...
def requested_backend(slug: str, argument: str = "") -> str: ...
def resolve_threads(threads: int = 0) -> int: ...

class _Curve25519:
    """A submodule; every array is uint8[n, 32], C-contiguous."""

    def backends(self) -> list[BackendStatus]: ...
    def scalar_mult(
        self,
        scalars: npt.NDArray[np.uint8],
        points: npt.NDArray[np.uint8],
        out: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def map_to_curve(
        self, elements: npt.NDArray[np.uint8], out: npt.NDArray[np.uint8], backend: str, threads: int
    ) -> None: ...
    def hash_to_curve(
        self,
        parts: list[tuple[npt.NDArray[np.uint8], npt.NDArray[Any] | None]],
        dst: bytes,
        random_oracle: bool,
        out_u: npt.NDArray[np.uint8],
        out_v: npt.NDArray[np.uint8],
        threads: int,
    ) -> None: ...
    def check_points(self, points: npt.NDArray[np.uint8]) -> tuple[int, str] | None: ...

curve25519: _Curve25519
hashing: Any
