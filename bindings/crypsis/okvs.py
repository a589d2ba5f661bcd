# SPDX-License-Identifier: Apache-2.0
"""Oblivious key-value stores: three-hash binned Paxos [GPR+21, RR22].

    chosen = okvs.parameters(n_items=50_000, n_bins=42)
    table = okvs.encode(keys, starts, values, chosen, seed=seed)
    values = okvs.decode(keys, starts, table, chosen, seed=seed)

A table is a vector of field elements; the value of a key is the sum of three sparse columns and of a few dense ones
times powers of an element r of the key. Decoding is linear: decode(a ^ b) = decode(a) ^ decode(b). Keys come in bins
whose tables are independent and stay in a core's cache. csrc/okvs/NOTES.md has the exact definition and the probability
of failure. Every backend gives the same bytes.

Arrays may be on a GPU (`crypsis.cuda`), all of a call on the same one, `starts` too; so is the result then. Bins of
which peeling leaves rows, one in 30,000, are encoded on the host all the same: `crypsis.cuda.okvs.host_bins()` counts.

Not constant-time: addresses and branches depend on the keys. Give keyed digests of one's own items; keep them local.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, _core
from crypsis.cuda._dispatch import follow_data

ByteArray: TypeAlias = npt.NDArray[np.uint8]

KEY_BYTES = 16
MAX_ITEMS: int = _core.okvs.MAX_ITEMS
MAX_COLUMNS: int = _core.okvs.MAX_COLUMNS
MIN_SPARSE: int = _core.okvs.MIN_SPARSE
MAX_DENSE: int = _core.okvs.MAX_DENSE
MAX_CORE_ROWS: int = _core.okvs.MAX_CORE_ROWS
"""Rows that elimination takes over where peeling ends; more are a failure, which bounds the work."""

_MIN_FORMULA_ITEMS = 256  # fewer use this row: the formula was fitted to larger sets


@dataclass(frozen=True)
class Parameters:
    """What both sides of a table agree on. Made by `parameters`; a set that is smaller than its formula is refused."""

    n_items: int
    """Most keys a bin may hold."""
    n_bins: int
    """Bins that together fail with probability at most 2^-statistical."""
    statistical: int
    field: int
    """128 or 64: values, tables and dense coefficients are in GF(2^field)."""
    sparse: int
    """Sparse columns of a bin."""
    dense: int
    """Dense columns of a bin."""

    def __post_init__(self) -> None:
        self._check_ranges()
        sparse, dense = _sizes(self.n_items, self.n_bins, self.statistical)
        if self.sparse < sparse or self.dense < dense:
            raise ValueError(
                f"sparse is {self.sparse} and dense {self.dense}: {self.n_items} keys in {self.n_bins} bins need "
                f"{sparse} and {dense}; use parameters()"
            )

    def _check_ranges(self) -> None:
        _arguments.integer("n_items", self.n_items, 1, MAX_ITEMS)
        _arguments.integer("n_bins", self.n_bins, 1, 1 << 40)
        _arguments.integer("statistical", self.statistical, 1, 128)
        _check_field(self.field)
        _arguments.integer("dense", self.dense, 1, MAX_DENSE)
        _arguments.integer("sparse", self.sparse, MIN_SPARSE, MAX_COLUMNS - self.dense)

    @property
    def columns(self) -> int:
        """Elements of a bin's table: `sparse + dense`, at most MAX_COLUMNS."""
        return self.sparse + self.dense

    @property
    def value_bytes(self) -> int:
        """Bytes of a value and of a table's element: field / 8."""
        return self.field // 8

    @property
    def expansion(self) -> float:
        """Columns for each of n_items keys."""
        return self.columns / self.n_items


@dataclass(frozen=True)
class InsecureParameters(Parameters):
    """Any sizes, whatever the probability of failure; for tests."""

    def __post_init__(self) -> None:
        self._check_ranges()


def parameters(n_items: int, n_bins: int = 1, *, statistical: int = 40, field: int = 128) -> Parameters:
    """Sizes for which all of `n_bins` bins of up to `n_items` keys have a table, but with 2^-statistical [RR22].

    Raises ValueError where a bin would have more than MAX_COLUMNS columns: about 51,000 keys.
    """
    n_items = _arguments.integer("n_items", n_items, 1, MAX_ITEMS)
    n_bins = _arguments.integer("n_bins", n_bins, 1, 1 << 40)
    statistical = _arguments.integer("statistical", statistical, 1, 128)
    sparse, dense = _sizes(n_items, n_bins, statistical)
    if sparse + dense > MAX_COLUMNS:
        raise ValueError(
            f"n_items is {n_items}: a bin would have {sparse + dense} columns, above {MAX_COLUMNS}; make more bins"
        )
    return Parameters(n_items, n_bins, statistical, _check_field(field), sparse, dense)


def insecure_parameters(n_items: int, sparse: int, dense: int, *, field: int = 128) -> Parameters:
    """Sizes as given, without a bound on failures; for tests."""
    return InsecureParameters(n_items, 1, 1, field, sparse, dense)


@follow_data("okvs")
def encode(
    keys: ByteArray,
    starts: npt.NDArray[np.uint64],
    values: ByteArray,
    parameters: Parameters,
    *,
    seed: bytes,
    fill: ByteArray | None = None,
    out: ByteArray | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> ByteArray:
    """Tables that decode to `values` at `keys`: uint8[n, 16], uint8[n, field / 8] -> uint8[b, columns, field / 8].

    Bin i is keys[starts[i]:starts[i + 1]], at most n_items distinct keys; starts is uint64[b + 1] from 0 to n, b any
    number of the n_bins. seed: 16 bytes, which the decoder needs too; chosen independently of the keys. Columns that no
    key binds are zero, or taken from `fill`, uint8[b, columns, field / 8]: with a random fill, a table of random values
    tells nothing of the keys. out may overlap no input; after an EncodeFailure its contents mean nothing.

    Raises TypeError, ValueError, BackendUnavailable; EncodeFailure naming the bin, with probability below
    2^-statistical for all bins of distinct keys. Keys given twice raise it too, unless their values are equal. Not
    constant-time in the keys.
    """
    keys, starts = _keys(keys, starts)
    width = _checked(parameters).value_bytes
    values = _contiguous("values", values, (len(keys), width))
    shape = (len(starts) - 1, parameters.columns, width)
    if fill is not None:
        fill = _contiguous("fill", fill, shape)
    out = _output(out, shape, keys=keys, starts=starts, values=values, fill=fill)
    _core.okvs.encode(
        keys, starts, values, _shape(parameters), _seed(seed), fill, out, *_options(backend, threads)
    )
    return out


@follow_data("okvs")
def decode(
    keys: ByteArray,
    starts: npt.NDArray[np.uint64],
    table: ByteArray,
    parameters: Parameters,
    *,
    seed: bytes,
    out: ByteArray | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> ByteArray:
    """The values of `keys` in their bins' tables: `uint8[n, 16]`, `uint8[b, columns, w]` -> `uint8[n, w]`.

    w is field / 8; with field 64 also 16, two elements of GF(2^64) side by side. Keys, starts and seed are as for
    `encode`, the keys any: one that was not encoded gets a value that follows from the table. out may overlap no input.
    Raises TypeError, ValueError, BackendUnavailable. Not constant-time in the keys.
    """
    keys, starts = _keys(keys, starts)
    table = _arguments.array("table", table)
    width = table.shape[-1] if table.ndim == 3 else 0
    if width != 16 or _checked(parameters).field == 128:
        width = _checked(parameters).value_bytes
    table = _contiguous("table", table, (len(starts) - 1, parameters.columns, width))
    out = _output(out, (len(keys), width), keys=keys, starts=starts, table=table)
    _core.okvs.decode(keys, starts, table, _shape(parameters), _seed(seed), out, *_options(backend, threads))
    return out


def _sizes(n_items: int, n_bins: int, statistical: int) -> tuple[int, int]:
    """(sparse, dense) of [RR22] for weight 3, where every bin fails with at most 2^-(statistical + log2 n_bins)."""
    security = statistical + math.log2(n_bins)
    n = max(n_items, _MIN_FORMULA_ITEMS)
    w = math.log2(3)
    slope = 2 ** (0.555 * math.log2(n) + 0.093 * w**3 - 1.01 * w**2 + 2.925 * w - 0.133)
    intercept = -9.2 - slope * 1.223
    expansion = (security - intercept) / slope
    dense = max(1, math.floor(security / math.log2(expansion * n)))
    return math.ceil(n * expansion), dense


def _check_field(field: Any) -> int:
    if _arguments.integer("field", field, 64, 128) not in (64, 128):
        raise ValueError(f"field is {field}: give 64 or 128")
    return int(field)


def _checked(parameters: Any) -> Parameters:
    if not isinstance(parameters, Parameters):
        raise TypeError(f"parameters is {_arguments.kind(parameters)}: give what okvs.parameters() returns")
    return parameters


def _shape(parameters: Parameters) -> tuple[int, int, int, int]:
    return parameters.n_items, parameters.sparse, parameters.dense, parameters.field


def _keys(keys: Any, starts: Any) -> tuple[ByteArray, npt.NDArray[np.uint64]]:
    keys = _arguments.array("keys", keys)
    if keys.ndim != 2 or keys.shape[1] != KEY_BYTES:
        raise ValueError(f"keys has shape {keys.shape}: give uint8[n, {KEY_BYTES}]")
    starts = _arguments.array("starts", starts, np.uint64)
    if starts.ndim != 1 or len(starts) < 1:
        raise ValueError(f"starts has shape {starts.shape}: give uint64[bins + 1]")
    return _contiguous("keys", keys, keys.shape), np.ascontiguousarray(starts)


def _contiguous(name: str, value: Any, shape: tuple[int, ...]) -> ByteArray:
    array: ByteArray = _arguments.array(name, value)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}: give uint8{list(shape)}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} is not C-contiguous: pass numpy.ascontiguousarray({name})")
    return array


def _seed(seed: Any) -> bytes:
    if not isinstance(seed, bytes):
        raise TypeError(f"seed is {_arguments.kind(seed)}: give 16 bytes")
    if len(seed) != KEY_BYTES:
        raise ValueError(f"seed has {len(seed)} bytes: give {KEY_BYTES}")
    return seed


def _output(out: ByteArray | None, shape: tuple[int, ...], **inputs: npt.NDArray[Any] | None) -> ByteArray:
    if out is None:
        return np.empty(shape, np.uint8)
    out = _arguments.output(out, shape)
    for name, array in inputs.items():
        if array is not None and np.may_share_memory(out, array):
            raise ValueError(f"out overlaps {name}: give memory of its own")
    return out


def _options(backend: str | None, threads: int | None) -> tuple[str, int]:
    return _arguments.backend(backend), _arguments.threads(threads)
