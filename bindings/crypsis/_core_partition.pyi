# SPDX-License-Identifier: Apache-2.0
"""The part of _core.pyi for the slug partition; there is no such module when the package runs."""

import numpy as np
import numpy.typing as npt

from crypsis._core import BackendStatus

class _Partition:
    """A submodule; arrays are C-contiguous and checked by partition.py."""

    def backends(self) -> list[BackendStatus]: ...
    def by_bin(
        self,
        keys: npt.NDArray[np.uint8],
        out: npt.NDArray[np.uint8],
        order: npt.NDArray[np.uint32],
        starts: npt.NDArray[np.uint64],
        backend: str,
        threads: int,
    ) -> None: ...
    def records(
        self,
        digests: npt.NDArray[np.uint8],
        rows: npt.NDArray[np.uint32] | None,
        first_row: int,
        out: npt.NDArray[np.uint8],
        starts: npt.NDArray[np.uint64],
        backend: str,
        threads: int,
    ) -> None: ...
    def group(
        self,
        records: npt.NDArray[np.uint8],
        keys: npt.NDArray[np.uint8],
        starts: npt.NDArray[np.uint64],
        row_starts: npt.NDArray[np.uint32],
        rows: npt.NDArray[np.uint32],
        backend: str,
        threads: int,
    ) -> int: ...
    def sort_tags(
        self,
        tags: npt.NDArray[np.uint8],
        starts: npt.NDArray[np.uint64],
        out: npt.NDArray[np.uint8],
        order: npt.NDArray[np.uint32],
        backend: str,
        threads: int,
    ) -> None: ...
    def match(
        self,
        own: npt.NDArray[np.uint8],
        own_starts: npt.NDArray[np.uint64],
        peer: npt.NDArray[np.uint8],
        peer_starts: npt.NDArray[np.uint64],
        own_index: npt.NDArray[np.uint32],
        peer_index: npt.NDArray[np.uint32],
        backend: str,
        threads: int,
    ) -> tuple[int, int, int, int, int]: ...
