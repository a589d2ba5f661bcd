# SPDX-License-Identifier: Apache-2.0
"""TenSEAL's interface (`tenseal` 0.3) for CKKS, on the kernels of Crypsis.

    import crypsis.compat.tenseal as ts  # in place of: import tenseal as ts

    context = ts.context(ts.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=[60, 40, 40, 60])
    context.global_scale = 2**40
    context.generate_galois_keys()
    vector = ts.ckks_vector(context, [1.0, 2.0, 3.0])
    (vector * 2).dot([4, 5, 6]).decrypt()

Or leave the program as it is: `crypsis.compat.tenseal.install()` makes `import tenseal` mean this package, and
`python -m crypsis.compat.tenseal program.py` runs a program so. Bytes are of a format of its own: contexts and vectors
that TenSEAL serialised are not read here, nor the other way round. docs/tenseal.md tells what differs.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from crypsis.compat.tenseal import enc_context
from crypsis.compat.tenseal._install import install, uninstall
from crypsis.compat.tenseal.enc_context import ENCRYPTION_TYPE, SCHEME_TYPE, Context
from crypsis.compat.tenseal.tensors import CKKSTensor, CKKSVector, PlainTensor
from crypsis.compat.tenseal.version import __version__

__all__ = [
    "ENCRYPTION_TYPE",
    "SCHEME_TYPE",
    "CKKSTensor",
    "CKKSVector",
    "Context",
    "PlainTensor",
    "__version__",
    "bfv_tensor",
    "bfv_tensor_from",
    "bfv_vector",
    "bfv_vector_from",
    "ckks_tensor",
    "ckks_tensor_from",
    "ckks_vector",
    "ckks_vector_from",
    "context",
    "context_from",
    "enc_context",
    "enc_matmul_encoding",
    "im2col_encoding",
    "install",
    "lazy_bfv_tensor_from",
    "lazy_bfv_vector_from",
    "lazy_ckks_tensor_from",
    "lazy_ckks_vector_from",
    "plain_tensor",
    "plain_tensor_from",
    "uninstall",
]


def context(*args: Any, **kwargs: Any) -> Context:
    """A `Context`, of its arguments."""
    return Context(*args, **kwargs)


def context_from(data: bytes, n_threads: int | None = None) -> Context:
    """The context that `Context.serialize` wrote."""
    return Context.load(data, n_threads)


def enc_matmul_encoding(context: Context, tensor: Any) -> CKKSVector:
    """A matrix `[rows, columns]`, column behind column and columns of zeros up to a power of two: for
    `CKKSVector.enc_matmul_plain`."""
    return CKKSVector(context, _columns(_matrix(tensor)))


def im2col_encoding(
    context: Context, tensor: Any, kernel_n_rows: int, kernel_n_cols: int, stride: int
) -> tuple[CKKSVector, int]:
    """(an image's windows as the rows of an `enc_matmul_encoding`, their number): for `CKKSVector.conv2d_im2col`."""
    image = _matrix(tensor)
    if min(kernel_n_rows, kernel_n_cols, stride) < 1 or not (
        kernel_n_rows <= image.shape[0] and kernel_n_cols <= image.shape[1]
    ):
        raise ValueError(
            f"a kernel of {kernel_n_rows} x {kernel_n_cols} with stride {stride} does not fit an image of"
            f" {image.shape[0]} x {image.shape[1]}"
        )
    windows = np.lib.stride_tricks.sliding_window_view(image, (kernel_n_rows, kernel_n_cols))
    windows = windows[::stride, ::stride].reshape(-1, kernel_n_rows * kernel_n_cols)
    return CKKSVector(context, _columns(windows)), len(windows)


def _matrix(tensor: Any) -> npt.NDArray[np.float64]:
    plain = tensor if isinstance(tensor, PlainTensor) else PlainTensor(tensor)
    if len(plain.shape) != 2:
        raise ValueError(f"the tensor has shape {plain.shape}: give a matrix")
    return plain.numpy().astype(np.float64, copy=False)


def _columns(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    rows, columns = matrix.shape
    wide = np.zeros((1 << max(columns - 1, 0).bit_length(), rows))
    wide[:columns] = matrix.T
    return wide.reshape(-1)


def plain_tensor(*args: Any, **kwargs: Any) -> PlainTensor:
    """A `PlainTensor`, of its arguments."""
    return PlainTensor(*args, **kwargs)


def plain_tensor_from(data: bytes, dtype: str = "float") -> PlainTensor:
    """The tensor that `PlainTensor.serialize` wrote."""
    return PlainTensor.load(data, dtype)


def ckks_vector(*args: Any, **kwargs: Any) -> CKKSVector:
    """A `CKKSVector`, of its arguments."""
    return CKKSVector(*args, **kwargs)


def ckks_vector_from(context: Context, data: bytes) -> CKKSVector:
    """The vector that `CKKSVector.serialize` wrote, with a context."""
    return CKKSVector.load(context, data)


def lazy_ckks_vector_from(data: bytes) -> CKKSVector:
    """The vector that `CKKSVector.serialize` wrote, to be linked to a context later."""
    return CKKSVector.lazy_load(data)


def ckks_tensor(*args: Any, **kwargs: Any) -> CKKSTensor:
    """A `CKKSTensor`, of its arguments."""
    return CKKSTensor(*args, **kwargs)


def ckks_tensor_from(context: Context, data: bytes) -> CKKSTensor:
    """The tensor that `CKKSTensor.serialize` wrote, with a context."""
    return CKKSTensor.load(context, data)


def lazy_ckks_tensor_from(data: bytes) -> CKKSTensor:
    """The tensor that `CKKSTensor.serialize` wrote, to be linked to a context later."""
    return CKKSTensor.lazy_load(data)


def _no_bfv(*args: Any, **kwargs: Any) -> NoReturn:
    """Raises: BFV is not implemented."""
    raise NotImplementedError(
        "BFV is not implemented in crypsis.compat.tenseal: ckks_vector and ckks_tensor are; for exact integers there is"
        " crypsis.paillier"
    )


bfv_vector = bfv_vector_from = lazy_bfv_vector_from = _no_bfv
bfv_tensor = bfv_tensor_from = lazy_bfv_tensor_from = _no_bfv
