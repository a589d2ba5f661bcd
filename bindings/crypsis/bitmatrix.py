# SPDX-License-Identifier: Apache-2.0
"""Bit matrices and the fields of characteristic two below OT extension and VOLE.

    blocks = crypsis.bitmatrix.transpose(rows)                  # uint8[128, n / 8] -> uint8[n, 16]
    check = crypsis.bitmatrix.gf128_inner_product(rows.reshape(128, -1, 16), challenges)

Bits are packed with the least significant bit of a byte first: bit i of a row is bit i % 8 of its byte i // 8. Elements
of GF(2^128) = GF(2)[x] / (x^128 + x^7 + x^2 + x + 1) are 16 bytes, those of GF(2^64) = GF(2)[x] / (x^64 + x^4 + x^3 + x
+ 1) are 8: bit i of the little-endian integer is the coefficient of x^i (GCM counts the other way round). Elements of
GF(2^k), k = 1 to 8, are the low k bits of a byte, or k bit slices; the moduli are `GF2K_MODULI`, the irreducible
polynomials of least weight [Seroussi 1998] (k = 8 is AES's).

Arrays are C-contiguous NumPy arrays of uint8. Everything is constant-time in bits and elements, on CPUs that multiply
64-bit integers in constant time for the backend "portable" (`tests/test_bitmatrix_constant_time.py`); time depends on
sizes, and a check that fails shows that it failed. Every backend returns the same bytes.

Options that the functions share:

    out       array for the result, of its shape; it must not overlap an input. Untouched when an error is raised.
    backend   a name from `crypsis.backends.runnable("bitmatrix")`; default: `CRYPSIS_BACKEND`, else the best
    threads   default: `CRYPSIS_NUM_THREADS`, else the CPUs this process may use

On a GPU (`crypsis.cuda`) arrays are CuPy's, with the same bytes; so is `out`, and `backend` and `threads` do not count.
`transpose`, `pack_bits`, `unpack_bits`, `gf128_multiply`, `gf64_multiply` and the inner products have kernels there.

Errors: `TypeError` for what is not such an array, `ValueError` for a wrong shape or value,
`crypsis.errors.BackendUnavailable` for a backend this CPU cannot run, or a function without a CUDA kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, _core
from crypsis.cuda._dispatch import follow_data

Bytes = npt.NDArray[np.uint8]

ELEMENT_BYTES = 16
"""Bytes of an element of GF(2^128)."""

GF2K_MODULI = (0b10, 0b111, 0b1011, 0b10011, 0b100101, 0b1000011, 0b10000011, 0b100011011)
"""The moduli of GF(2^k), k = 1 to 8, as integers: bit i is the coefficient of x^i."""


@follow_data("bitmatrix")
def transpose(
    bits: Bytes, *, out: Bytes | None = None, backend: str | None = None, threads: int | None = None
) -> Bytes:
    """The transpose of a bit matrix: `uint8[rows, columns / 8]` -> `uint8[columns, rows / 8]`.

    rows: a multiple of 8, as columns are by their packing; either may be 0. 128 rows (to blocks of 16 bytes) and
    128 columns (from blocks) are the fast cases. Raises ValueError for other shapes.
    """
    bits = _array("bits", bits)
    if bits.ndim != 2 or bits.shape[0] % 8:
        raise ValueError(f"bits has shape {bits.shape}: give uint8[rows, columns / 8], rows a multiple of 8")
    n_rows, n_columns = bits.shape[0], 8 * bits.shape[1]
    result = _output(out, (n_columns, n_rows // 8), bits=bits)
    _core.bitmatrix.transpose(bits, n_rows, n_columns, result, *_options(backend, threads))
    return result


@follow_data("bitmatrix")
def pack_bits(values: Bytes, *, out: Bytes | None = None) -> Bytes:
    """Bits in bytes to packed bits along the last axis: `uint8[..., n]` of 0 and 1 -> `uint8[..., ceil(n / 8)]`.

    The bits after the n-th are 0. NumPy's packbits, which runs at the speed of memory, after a check that raises
    ValueError for a value above 1.
    """
    values = _array("values", values)
    if values.ndim == 0:
        raise ValueError("values has no axis: give uint8[..., n]")
    shape = (*values.shape[:-1], (values.shape[-1] + 7) // 8)
    result = None if out is None else _output(out, shape, values=values)
    _check_range("values", values, 2)
    packed = np.packbits(values, axis=-1, bitorder="little")
    if result is None:
        return packed
    result[...] = packed
    return result


@follow_data("bitmatrix")
def unpack_bits(packed: Bytes, n_bits: int | None = None, *, out: Bytes | None = None) -> Bytes:
    """The inverse of `pack_bits`: `uint8[..., m]` -> `uint8[..., n_bits]` of 0 and 1.

    n_bits: 8 m - 7 to 8 m, or 0 for m = 0; default 8 m. Raises ValueError where a bit after the last is not 0.
    """
    packed = _array("packed", packed)
    if packed.ndim == 0:
        raise ValueError("packed has no axis: give uint8[..., m]")
    m = packed.shape[-1]
    n_bits = _arguments.integer("n_bits", 8 * m if n_bits is None else n_bits, max(0, 8 * m - 7), 8 * m)
    result = None if out is None else _output(out, (*packed.shape[:-1], n_bits), packed=packed)
    if n_bits % 8 and np.any(packed[..., -1] >> (n_bits % 8)):
        raise ValueError(f"packed has bits set after the first {n_bits}: give zeros there")
    bits = np.unpackbits(packed, axis=-1, count=n_bits, bitorder="little")
    if result is None:
        return bits
    result[...] = bits
    return result


@follow_data("bitmatrix")
def gf128_multiply(
    a: Bytes,
    b: Bytes,
    *,
    add: Bytes | None = None,
    out: Bytes | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Bytes:
    """Products in GF(2^128), `uint8[n, 16]`: a b, or add + a b.

    a: `uint8[n, 16]`. b: `uint8[n, 16]`, or `uint8[16]`, one factor for all (such as Delta). n may be 0; `a` and `b`
    may be the same array. add: `uint8[n, 16]`, summands; with the same array as `out`, products are added in place.
    """
    a, b = _elements("a", a, ELEMENT_BYTES), _array("b", b)
    if b.shape not in (a.shape, (ELEMENT_BYTES,)):
        raise ValueError(f"b has shape {b.shape}: give uint8[16], or {a.shape} as a has it")
    add = _summand(add, a.shape)
    result = _output(out, a.shape, a=a, b=b, **_apart_from(out, add))
    # One factor and one element look alike below, where either reading has the same answer.
    _core.bitmatrix.gf128_multiply(a, b, add, result, *_options(backend, threads))
    return result


@follow_data("bitmatrix")
def gf64_multiply(
    elements: Bytes,
    pair: Bytes,
    *,
    add: Bytes | None = None,
    out: Bytes | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Bytes:
    """Each element of GF(2^64) times the two of `pair`: `uint8[n, 8]`, `uint8[16]` or `uint8[2, 8]` -> `uint8[n, 16]`.

    Bytes 0 to 7 of a result are the product with the first of the pair, 8 to 15 that with the second. add: as for
    `gf128_multiply`. n may be 0.
    """
    elements, pair = _elements("elements", elements, 8), _array("pair", pair)
    if pair.shape not in ((16,), (2, 8)):
        raise ValueError(f"pair has shape {pair.shape}: give uint8[16] or uint8[2, 8]")
    shape = (len(elements), 16)
    add = _summand(add, shape)
    result = _output(out, shape, elements=elements, pair=pair, **_apart_from(out, add))
    _core.bitmatrix.gf64_multiply(elements, pair, add, result, *_options(backend, threads))
    return result


@follow_data("bitmatrix")
def gf128_inner_product(
    a: Bytes, b: Bytes, *, out: Bytes | None = None, backend: str | None = None, threads: int | None = None
) -> Bytes:
    """Sums of products in GF(2^128), one reduction each: `uint8[rows, n, 16]`, `uint8[n, 16]` -> `uint8[rows, 16]`.

    a: `uint8[rows, n, 16]`, or `uint8[n, 16]` for a single row, whose result is `uint8[16]`. b: `uint8[n, 16]`.
    result[r] = sum over i of a[r, i] b[i], zero for n = 0. With random b this is a universal hash of the rows:
    a difference of two rows maps to 0 with probability 2^-128 (with b the powers of one element, n 2^-128).
    """
    return _inner_product(a, b, ELEMENT_BYTES, out, backend, threads)


@follow_data("bitmatrix")
def gf64_inner_product(
    a: Bytes, b: Bytes, *, out: Bytes | None = None, backend: str | None = None, threads: int | None = None
) -> Bytes:
    """As `gf128_inner_product`, over GF(2^64): `uint8[rows, n, 8]`, `uint8[n, 8]` -> `uint8[rows, 8]`.

    A quarter of the multiplications for each element, half for each bit; the universal hash fails with 2^-64.
    """
    return _inner_product(a, b, 8, out, backend, threads)


@follow_data("bitmatrix")
def gf128_powers(
    x: Bytes, n: int, *, out: Bytes | None = None, backend: str | None = None, threads: int | None = None
) -> Bytes:
    """x^0, x^1, ..., x^(n - 1) in GF(2^128) for one element: `uint8[16]`, n -> `uint8[n, 16]`; x^0 = 1 also for 0."""
    x = _array("x", x)
    if x.shape != (ELEMENT_BYTES,):
        raise ValueError(f"x has shape {x.shape}: give uint8[16]")
    n = _arguments.integer("n", n, 0, 2**40)
    result = _output(out, (n, ELEMENT_BYTES), x=x)
    _core.bitmatrix.gf128_powers(x, result, *_options(backend, threads))
    return result


@follow_data("bitmatrix")
def gf2k_multiply(
    a: Bytes,
    b: Bytes | int,
    *,
    k: int,
    out: Bytes | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Bytes:
    """Products in GF(2^k), k = 1 to 8, elements in bytes: `uint8[n]` and `uint8[n]`, or an int for all -> `uint8[n]`.

    Raises ValueError for elements of 2^k or above.
    """
    k = _arguments.integer("k", k, 1, 8)
    a = _array("a", a)
    factor = _scalar(b, k) if not isinstance(b, np.ndarray) else _array("b", b)
    if a.ndim != 1 or (isinstance(b, np.ndarray) and factor.shape != a.shape):
        raise ValueError(
            f"a and b have shapes {a.shape} and {factor.shape}: give uint8[n] twice, or b an int"
        )
    result = _output(out, a.shape, a=a, b=factor)
    _check_range("a", a, 1 << k)
    _check_range("b", factor, 1 << k)
    _core.bitmatrix.gf2k_multiply(k, a, factor, result, *_options(backend, threads))
    return result


@follow_data("bitmatrix")
def gf2k_multiply_sliced(
    a: Bytes,
    b: Bytes | int,
    *,
    out: Bytes | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Bytes:
    """Products in GF(2^k) of elements in bit slices: `uint8[k, n / 8]` twice, or an int for all -> `uint8[k, n / 8]`.

    Bit i of plane j is the coefficient of x^j of element i (`slice_elements`); k, 1 to 8, is the number of planes.
    """
    a = _planes("a", a)
    k = a.shape[0]
    scalar = not isinstance(b, np.ndarray)
    factor = _scalar(b, k) if scalar else _planes("b", b)
    if not scalar and factor.shape != a.shape:
        raise ValueError(
            f"a and b have shapes {a.shape} and {factor.shape}: give the same shape, or b an int"
        )
    result = _output(out, a.shape, a=a, b=factor)
    _core.bitmatrix.gf2k_multiply_sliced(k, a, factor, scalar, result, *_options(backend, threads))
    return result


@follow_data("bitmatrix")
def slice_elements(
    elements: Bytes, *, k: int, backend: str | None = None, threads: int | None = None
) -> Bytes:
    """Elements in bytes to bit slices: `uint8[n]`, n a multiple of 8 -> `uint8[k, n / 8]`.

    Raises ValueError for elements of 2^k or above.
    """
    k = _arguments.integer("k", k, 1, 8)
    elements = _array("elements", elements)
    if elements.ndim != 1 or len(elements) % 8:
        raise ValueError(f"elements has shape {elements.shape}: give uint8[n], n a multiple of 8")
    _check_range("elements", elements, 1 << k)
    return transpose(elements.reshape(-1, 1), backend=backend, threads=threads)[:k]


@follow_data("bitmatrix")
def unslice_elements(planes: Bytes, *, backend: str | None = None, threads: int | None = None) -> Bytes:
    """The inverse of `slice_elements`: `uint8[k, n / 8]`, k = 1 to 8 -> `uint8[n]`."""
    planes = _planes("planes", planes)
    eight = np.zeros((8, planes.shape[1]), np.uint8)
    eight[: len(planes)] = planes
    return transpose(eight, backend=backend, threads=threads).reshape(-1)


@follow_data("bitmatrix")
def pack_elements(
    elements: Bytes,
    *,
    k: int,
    out: Bytes | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Bytes:
    """Elements of k bits without gaps: `uint8[n]`, values below 2^k -> `uint8[ceil(n k / 8)]`, k = 1 to 8.

    Element i takes the bits i k to (i + 1) k - 1; the bits after the last element are 0.
    """
    k = _arguments.integer("k", k, 1, 8)
    elements = _array("elements", elements)
    if elements.ndim != 1:
        raise ValueError(f"elements has shape {elements.shape}: give uint8[n]")
    result = _output(out, ((len(elements) * k + 7) // 8,), elements=elements)
    _check_range("elements", elements, 1 << k)
    _core.bitmatrix.pack_elements(k, elements, result, *_options(backend, threads))
    return result


@follow_data("bitmatrix")
def unpack_elements(
    packed: Bytes,
    n: int,
    *,
    k: int,
    out: Bytes | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Bytes:
    """The inverse of `pack_elements`: `uint8[ceil(n k / 8)]` -> `uint8[n]`.

    Raises ValueError for another number of bytes and where a bit after the last element is not 0.
    """
    k = _arguments.integer("k", k, 1, 8)
    n = _arguments.integer("n", n, 0, 2**56)
    packed = _array("packed", packed)
    if packed.shape != ((n * k + 7) // 8,):
        raise ValueError(
            f"packed has shape {packed.shape}: {n} elements of {k} bits are {(n * k + 7) // 8} bytes"
        )
    result = _output(out, (n,), packed=packed)
    if n * k % 8 and packed[-1] >> (n * k % 8):
        raise ValueError(f"packed has bits set after the first {n * k}: give zeros there")
    _core.bitmatrix.unpack_elements(k, packed, result, *_options(backend, threads))
    return result


def _inner_product(
    a: Bytes, b: Bytes, width: int, out: Bytes | None, backend: str | None, threads: int | None
) -> Bytes:
    a, b = _array("a", a), _elements("b", b, width)
    if a.ndim not in (2, 3) or a.shape[-2:] != b.shape:
        raise ValueError(
            f"a has shape {a.shape}: give uint8[rows, {len(b)}, {width}] or {b.shape}, as b has it"
        )
    result = _output(out, (*a.shape[:-2], width), a=a, b=b)
    function = _core.bitmatrix.gf128_inner_product if width == 16 else _core.bitmatrix.gf64_inner_product
    function(a, b, result, *_options(backend, threads))
    return result


def _array(name: str, value: Any) -> Bytes:
    array: Bytes = _arguments.array(name, value)
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} is not C-contiguous: pass numpy.ascontiguousarray({name})")
    return array


def _elements(name: str, value: Any, width: int) -> Bytes:
    array = _array(name, value)
    if array.ndim != 2 or array.shape[1] != width:
        raise ValueError(f"{name} has shape {array.shape}: give uint8[n, {width}]")
    return array


def _planes(name: str, value: Any) -> Bytes:
    array = _array(name, value)
    if array.ndim != 2 or not 1 <= len(array) <= 8:
        raise ValueError(f"{name} has shape {array.shape}: give uint8[k, n / 8] with k = 1 to 8")
    return array


def _scalar(value: Any, k: int) -> Bytes:
    return np.array([_arguments.integer("b", value, 0, (1 << k) - 1)], np.uint8)


def _check_range(name: str, values: Bytes, bound: int) -> None:
    """No value at or above `bound`; the message names no value, which may be secret."""
    if bound < 256 and values.size and values.max() >= bound:
        raise ValueError(f"{name} holds a value above {bound - 1}: give 0 to {bound - 1}")


def _summand(add: Any, shape: tuple[int, ...]) -> Bytes | None:
    if add is None:
        return None
    array = _array("add", add)
    if array.shape != shape:
        raise ValueError(f"add has shape {array.shape}: give uint8{list(shape)}")
    return array


def _apart_from(out: Any, add: Bytes | None) -> dict[str, Bytes]:
    """`add` as an input of `_output` unless it is the very memory of `out`."""
    if add is None or (isinstance(out, np.ndarray) and out.ctypes.data == add.ctypes.data):
        return {}
    return {"add": add}


def _output(out: Bytes | None, shape: tuple[int, ...], **inputs: Bytes) -> Bytes:
    if out is None:
        return np.empty(shape, np.uint8)
    out = _arguments.output(out, shape)
    for name, array in inputs.items():
        if np.may_share_memory(out, array):
            raise ValueError(f"out overlaps {name}: give memory of its own")
    return out


def _options(backend: str | None, threads: int | None) -> tuple[str, int]:
    return _arguments.backend(backend), _arguments.threads(threads)
