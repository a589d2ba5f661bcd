# SPDX-License-Identifier: Apache-2.0
"""`crypsis.bitmatrix` on a device: kernels/bitmatrix. Called by way of `crypsis.bitmatrix`.

Functions take the device first and then what those of `crypsis.bitmatrix` take, and return and raise what those do;
DeviceMemoryError where arrays do not fit. Every array is the device's, the factor of all elements (Delta) too. Nothing
waits for the device but `pack_bits` and an `unpack_bits` of incomplete bytes, to look at what they are given.

GF(2^k), k = 1 to 8 (`gf2k_multiply` and the functions of its elements), and `gf128_powers` stay on the host: no step of
a protocol that runs on a device takes them.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from crypsis import _arguments
from crypsis.bitmatrix import ELEMENT_BYTES
from crypsis.cuda import _bytes
from crypsis.cuda._device import Device
from crypsis.cuda._tuning import launch_shapes

SLUG = "bitmatrix"
BITS = "bitmatrix/bits.cu"
WARP = 32
PIECE = 16
"""Bytes that a lane loads or stores at once."""

_ROWS = np.dtype([(name, "<u8") for name in ("rows", "n", "n_parts", "length")])
_MATRIX = np.dtype([("n_rows", "<u8"), ("row_bytes", "<u8")])


def transpose(device: Device, bits: Any, *, out: Any = None) -> Any:
    """The transpose of a bit matrix."""
    _bytes.array(device, "bits", bits)
    if bits.ndim != 2 or bits.shape[0] % 8:
        raise ValueError(f"bits has shape {bits.shape}: give uint8[rows, columns / 8], rows a multiple of 8")
    n_rows, n_columns = bits.shape[0], 8 * bits.shape[1]
    result = _bytes.output(device, out, (n_columns, n_rows // 8), apart={"bits": bits})
    if n_rows and n_columns:
        kernel, high, wide = _tile(device, bits, result)
        tiles = -(-n_rows // high) * -(-n_columns // wide)
        shapes = [np.array((len(rows), rows.shape[1]), _MATRIX)[()] for rows in (bits, result)]
        _run(device, kernel, WARP * tiles, [result, bits, *shapes], BITS)
    return result


def pack_bits(device: Device, values: Any, *, out: Any = None) -> Any:
    """Bits in bytes to packed bits along the last axis."""
    _bytes.array(device, "values", values)
    if values.ndim == 0:
        raise ValueError("values has no axis: give uint8[..., n]")
    n, rows = values.shape[-1], prod(values.shape[:-1])
    shape = (*values.shape[:-1], (n + 7) // 8)
    result = _bytes.output(device, out, shape, apart={"values": values})
    if rows and n:
        error = device.error_word()
        args = [values, np.uint64(rows), np.uint64(n), error]
        if out is None:  # nobody sees it before it is known to be right
            _run(device, "pack_bits", result.size, [result, *args], BITS)
        else:
            _run(device, "pack_bits", result.size, [None, *args], BITS)
        device.check(error, lambda code, row: ValueError("values holds a value above 1: give 0 to 1"))
        if out is not None:
            _run(device, "pack_bits", result.size, [result, *args], BITS)
    return result


def unpack_bits(device: Device, packed: Any, n_bits: int | None = None, *, out: Any = None) -> Any:
    """The inverse of `pack_bits`."""
    _bytes.array(device, "packed", packed)
    if packed.ndim == 0:
        raise ValueError("packed has no axis: give uint8[..., m]")
    m, rows = packed.shape[-1], prod(packed.shape[:-1])
    n_bits = _arguments.integer("n_bits", 8 * m if n_bits is None else n_bits, max(0, 8 * m - 7), 8 * m)
    shape = (*packed.shape[:-1], n_bits)
    result = None if out is None else _bytes.output(device, out, shape, apart={"packed": packed})
    if rows and n_bits % 8:
        error = device.error_word()
        _run(device, "check_padding", rows, [packed, np.uint64(rows), np.uint64(n_bits), error], BITS)
        device.check(
            error,
            lambda code, row: ValueError(f"packed has bits set after the first {n_bits}: give zeros there"),
        )
    if result is None:
        result = device.empty(shape, np.uint8)
    if rows and n_bits:
        _run(device, "unpack_bits", packed.size, [result, packed, np.uint64(rows), np.uint64(n_bits)], BITS)
    return result


def gf128_multiply(device: Device, a: Any, b: Any, *, add: Any = None, out: Any = None) -> Any:
    """Products in GF(2^128), a b or add + a b; b may be one factor for all."""
    _elements(device, "a", a, ELEMENT_BYTES)
    _bytes.array(device, "b", b)
    if b.shape not in (a.shape, (ELEMENT_BYTES,)):
        raise ValueError(f"b has shape {b.shape}: give uint8[16], or {a.shape} as a has it")
    _check_summand(device, add, a.shape)
    result = _bytes.output(device, out, a.shape, apart={"a": a, "b": b} | _apart_from(device, out, add))
    n = len(a)
    if n:
        broadcast = np.uint32(b.shape != a.shape)
        _run(device, "gf128_products", n, [result, a, b, add, np.uint64(n), broadcast])
    return result


def gf64_multiply(device: Device, elements: Any, pair: Any, *, add: Any = None, out: Any = None) -> Any:
    """Each element of GF(2^64) times the two of `pair`; plus `add`."""
    _elements(device, "elements", elements, 8)
    _bytes.array(device, "pair", pair)
    if pair.shape not in ((16,), (2, 8)):
        raise ValueError(f"pair has shape {pair.shape}: give uint8[16] or uint8[2, 8]")
    n = len(elements)
    _check_summand(device, add, (n, 16))
    apart = {"elements": elements, "pair": pair} | _apart_from(device, out, add)
    result = _bytes.output(device, out, (n, 16), apart=apart)
    if n:
        _run(device, "gf64_products", n, [result, elements, pair, add, np.uint64(n)])
    return result


def gf128_inner_product(device: Device, a: Any, b: Any, *, out: Any = None) -> Any:
    """Sums of products in GF(2^128)."""
    return _inner_product(device, "gf128_inner_product", a, b, ELEMENT_BYTES, out)


def gf64_inner_product(device: Device, a: Any, b: Any, *, out: Any = None) -> Any:
    """Sums of products in GF(2^64)."""
    return _inner_product(device, "gf64_inner_product", a, b, 8, out)


def _inner_product(device: Device, kernel: str, a: Any, b: Any, width: int, out: Any) -> Any:
    _bytes.array(device, "a", a)
    _elements(device, "b", b, width)
    if a.ndim not in (2, 3) or a.shape[-2:] != b.shape:
        raise ValueError(
            f"a has shape {a.shape}: give uint8[rows, {len(b)}, {width}] or {b.shape}, as b has it"
        )
    result = _bytes.output(device, out, (*a.shape[:-2], width), apart={"a": a, "b": b})
    n, rows = len(b), prod(a.shape[:-2])
    if rows == 0 or n == 0:
        result.fill(0)
        return result
    length, n_parts = _parts(device, kernel, rows, n)
    job = np.array((rows, n, n_parts, length), _ROWS)[()]
    if n_parts == 1:
        _run(device, kernel, WARP * rows, [result, a, b, job])
        return result
    parts = device.empty((rows, n_parts, width), np.uint8)
    try:
        _run(device, kernel, WARP * rows * n_parts, [parts, a, b, job])
        args = [result, parts, np.uint64(rows), np.uint64(n_parts), np.uint32(width)]
        _run(device, "sum_parts", WARP * rows * width // 8, args)
    finally:
        parts.fill(0)  # of a secret row, they tell more than its sum
    return result


def _parts(device: Device, kernel: str, rows: int, n: int) -> tuple[int, int]:
    """(terms, parts of a row): as many parts as fill the device, of `terms` terms at least, whole warps of them."""
    shape = launch_shapes(SLUG)[kernel]
    warps = shape["blocks"] * device.n_multiprocessors * shape["block"] // WARP
    length = max(-(-n // -(-warps // rows)), shape["terms"])
    length = -(-length // WARP) * WARP
    return length, -(-n // length)


def _run(device: Device, kernel: str, n_threads: int, args: list[Any], source: str | None = None) -> None:
    """Threads enough for `n_threads` items, no more than fill the device."""
    shape = launch_shapes(SLUG)[kernel]
    most = shape["blocks"] * device.n_multiprocessors
    grid = min(most, -(-n_threads // shape["block"]))
    device.launch(SLUG, kernel, grid=grid, block=shape["block"], args=args, source=source)


def _tile(device: Device, bits: Any, out: Any) -> tuple[str, int, int]:
    """(kernel, rows, columns) of the tiles that a warp transposes."""
    if any(device.address(rows) % PIECE or rows.shape[1] % PIECE for rows in (bits, out)):
        return "transpose_any", 32, 32
    if len(bits) == 8 * PIECE:
        return "transpose_wide", 128, 256
    return ("transpose_tall", 256, 128) if len(out) == 8 * PIECE else ("transpose", 256, 256)


def _elements(device: Device, name: str, value: Any, width: int) -> None:
    _bytes.array(device, name, value)
    if value.ndim != 2 or value.shape[1] != width:
        raise ValueError(f"{name} has shape {value.shape}: give uint8[n, {width}]")


def _check_summand(device: Device, add: Any, shape: tuple[int, ...]) -> None:
    if add is None:
        return
    _bytes.array(device, "add", add)
    if add.shape != shape:
        raise ValueError(f"add has shape {add.shape}: give uint8{list(shape)}")


def _apart_from(device: Device, out: Any, add: Any) -> dict[str, Any]:
    """`add` as an input that `out` must not overlap, unless it is the very memory of `out`."""
    if add is None or (device.owns(out) and device.address(out) == device.address(add)):
        return {}
    return {"add": add}
