# SPDX-License-Identifier: Apache-2.0
"""The compiled extension. Private: use the modules of the package."""

from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis._core_embedding import Embedding as _Embedding
from crypsis._core_ntt import Ntt as _Ntt
from crypsis._core_okvs import Okvs as _Okvs
from crypsis._core_partition import _Partition
from crypsis._core_rns import Rns as _Rns
from crypsis._core_sampling import Sampling as _Sampling
from crypsis._core_vole import _Vole

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
    def ristretto255_check(self, elements: npt.NDArray[np.uint8], threads: int) -> int | None: ...
    def ristretto255_scalar_mult(
        self,
        scalars: npt.NDArray[np.uint8],
        elements: npt.NDArray[np.uint8],
        out: npt.NDArray[np.uint8],
        threads: int,
    ) -> int | None: ...
    def ristretto255_scalar_mult_base(
        self, scalars: npt.NDArray[np.uint8], out: npt.NDArray[np.uint8], threads: int
    ) -> None: ...
    def ristretto255_add(
        self,
        a: npt.NDArray[np.uint8],
        b: npt.NDArray[np.uint8],
        subtract: bool,
        out: npt.NDArray[np.uint8],
        threads: int,
    ) -> int | None: ...
    def ristretto255_derive(
        self, uniform: npt.NDArray[np.uint8], out: npt.NDArray[np.uint8], threads: int
    ) -> None: ...
    def ristretto255_reduce_scalars(
        self, wide: npt.NDArray[np.uint8], out: npt.NDArray[np.uint8]
    ) -> None: ...

class _Modulus:
    def __init__(self, n: npt.NDArray[np.uint64]) -> None: ...
    @property
    def limbs(self) -> int: ...
    @property
    def n_bits(self) -> int: ...
    def r(self) -> npt.NDArray[np.uint64]: ...
    def r2(self) -> npt.NDArray[np.uint64]: ...

class _FixedBase:
    def __init__(
        self,
        modulus: _Modulus,
        base: npt.NDArray[np.uint64],
        exponent_bits: int,
        window: int,
        vartime: bool,
        backend: str,
        threads: int,
    ) -> None: ...
    @property
    def n_bytes(self) -> int: ...
    def powm(
        self,
        exponents: npt.NDArray[np.uint64],
        exponent_bits: int,
        out: npt.NDArray[np.uint64],
        montgomery: bool,
        threads: int,
    ) -> None: ...

class _Bigint:
    """A submodule; arrays are uint64[n, limbs], C-contiguous, values below the modulus."""

    Modulus: type[_Modulus]
    FixedBase: type[_FixedBase]
    def backends(self) -> list[BackendStatus]: ...
    def select(self, backend: str) -> str: ...
    def check_values(
        self, modulus: _Modulus, rows: npt.NDArray[np.uint64], name: str, threads: int
    ) -> None: ...
    def mul(
        self,
        modulus: _Modulus,
        a: npt.NDArray[np.uint64],
        b: npt.NDArray[np.uint64] | None,
        out: npt.NDArray[np.uint64],
        montgomery: bool,
        backend: str,
        threads: int,
    ) -> None: ...
    def powm(
        self,
        modulus: _Modulus,
        bases: npt.NDArray[np.uint64],
        exponents: npt.NDArray[np.uint64],
        exponent_bits: int,
        out: npt.NDArray[np.uint64],
        montgomery: bool,
        vartime: bool,
        backend: str,
        threads: int,
    ) -> None: ...
    def segmented_prod(
        self,
        modulus: _Modulus,
        rows: npt.NDArray[np.uint64],
        index: npt.NDArray[np.int64] | None,
        starts: npt.NDArray[np.int64],
        out: npt.NDArray[np.uint64],
        backend: str,
        threads: int,
    ) -> None: ...
    def cumulative_prod(
        self,
        modulus: _Modulus,
        rows: npt.NDArray[np.uint64],
        starts: npt.NDArray[np.int64],
        out: npt.NDArray[np.uint64],
        backend: str,
        threads: int,
    ) -> None: ...
    def batch_inverse(
        self,
        modulus: _Modulus,
        rows: npt.NDArray[np.uint64],
        out: npt.NDArray[np.uint64],
        backend: str,
        threads: int,
    ) -> bool: ...
    def multi_powm(
        self,
        modulus: _Modulus,
        bases: npt.NDArray[np.uint64],
        exponents: npt.NDArray[np.uint64],
        exponent_bits: int,
        factor: npt.NDArray[np.uint64] | None,
        out: npt.NDArray[np.uint64],
        backend: str,
        threads: int,
    ) -> None: ...
    def measure_products(self, backend: str, repeats: int) -> int: ...
    def multi_powm_products(
        self, modulus: _Modulus, m: int, k: int, exponent_bits: int, backend: str
    ) -> float: ...
    def scatter_mul(
        self,
        modulus: _Modulus,
        rows: npt.NDArray[np.uint64],
        bins: npt.NDArray[np.signedinteger[Any]],
        n_bins: int,
        index: npt.NDArray[np.int64] | None,
        out: npt.NDArray[np.uint64],
        backend: str,
        threads: int,
    ) -> None: ...

class _AesStream:
    def __init__(self, seed: npt.NDArray[np.uint8]) -> None: ...
    def fill(self, out: npt.NDArray[np.uint8], backend: str) -> None: ...

class _Aes:
    """A submodule; blocks are uint8[n, 16] and keys uint8[16], C-contiguous; counters are 16 big-endian bytes."""

    FIXED_KEYS: tuple[bytes, bytes, bytes]
    Stream: type[_AesStream]
    def backends(self) -> list[BackendStatus]: ...
    def expand_keys(
        self, keys: npt.NDArray[np.uint8], out: npt.NDArray[np.uint8], backend: str, threads: int
    ) -> None: ...
    def permute(
        self,
        key: npt.NDArray[np.uint8],
        blocks: npt.NDArray[np.uint8],
        out: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def mmo(
        self,
        key: npt.NDArray[np.uint8],
        blocks: npt.NDArray[np.uint8],
        out: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def tmmo(
        self,
        key: npt.NDArray[np.uint8],
        first: bytes,
        blocks: npt.NDArray[np.uint8],
        out: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def ctr(
        self,
        key: npt.NDArray[np.uint8],
        first: bytes,
        data: npt.NDArray[np.uint8] | None,
        out: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def ggm_level(
        self,
        keys: npt.NDArray[np.uint8],
        parents: npt.NDArray[np.uint8],
        out: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def measure_rounds(self, backend: str, repeats: int) -> int: ...
    def measure_ctr(self, backend: str, n_bytes: int, repeats: int) -> int: ...

class _Bitmatrix:
    """A submodule; every array is uint8, C-contiguous, and counts by its size whatever its shape."""

    def backends(self) -> list[BackendStatus]: ...
    def transpose(
        self,
        bits: npt.NDArray[np.uint8],
        n_rows: int,
        n_columns: int,
        out: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def gf128_multiply(
        self,
        a: npt.NDArray[np.uint8],
        b: npt.NDArray[np.uint8],
        add: npt.NDArray[np.uint8] | None,
        out: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def gf64_multiply(
        self,
        elements: npt.NDArray[np.uint8],
        pair: npt.NDArray[np.uint8],
        add: npt.NDArray[np.uint8] | None,
        out: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def gf128_inner_product(
        self,
        a: npt.NDArray[np.uint8],
        b: npt.NDArray[np.uint8],
        out: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def gf64_inner_product(
        self,
        a: npt.NDArray[np.uint8],
        b: npt.NDArray[np.uint8],
        out: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def gf128_powers(
        self, x: npt.NDArray[np.uint8], out: npt.NDArray[np.uint8], backend: str, threads: int
    ) -> None: ...
    def gf2k_multiply(
        self,
        k: int,
        a: npt.NDArray[np.uint8],
        b: npt.NDArray[np.uint8],
        out: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def gf2k_multiply_sliced(
        self,
        k: int,
        a: npt.NDArray[np.uint8],
        b: npt.NDArray[np.uint8],
        broadcast: bool,
        out: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def pack_elements(
        self,
        k: int,
        elements: npt.NDArray[np.uint8],
        out: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def unpack_elements(
        self,
        k: int,
        packed: npt.NDArray[np.uint8],
        out: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...

aes: _Aes
bigint: _Bigint
bitmatrix: _Bitmatrix
curve25519: _Curve25519
embedding: _Embedding
hashing: Any
ntt: _Ntt
rns: _Rns
okvs: _Okvs
partition: _Partition
sampling: _Sampling
vole: _Vole
