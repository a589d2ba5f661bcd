# SPDX-License-Identifier: Apache-2.0
"""`crypsis.okvs` on a device: kernels/okvs. Called by way of `crypsis.okvs`.

Functions take the device first and then what those of `crypsis.okvs` take, `starts` too as an array of the device, and
return and raise what those do; DeviceMemoryError where not even one bin fits. `starts` is copied to the host and
checked there, so a call waits for the device once; `encode` once more, for the number of rows that were peeled.

Bins of which peeling leaves rows (a core), one in 30,000 at real sizes: `encode` copies such a bin's keys, values and
fill to the host, has `crypsis.okvs.encode` make its table there, and copies that back. `host_bins` counts them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, aes
from crypsis import okvs as host
from crypsis.cuda import _bytes
from crypsis.cuda._blocks import in_blocks
from crypsis.cuda._device import Device
from crypsis.cuda._tuning import launch_shapes
from crypsis.errors import EncodeFailure

SLUG = "okvs"
VALUES = "okvs/values.cu"
MAX_LAUNCH_BINS = 1 << 20
_STATE_BYTES = 8 + 4
"""Of a sparse column, which peeling reads and changes at random: its word, and when it came to have one row."""

_JOB = np.dtype(
    [
        ("first", "<u8"),
        ("keys", "<u8"),
        ("sparse", "<u4"),
        ("dense", "<u4"),
        ("longest", "<u4"),
        ("parts", "<u4"),
    ]
)
_ROUND_KEYS = np.dtype([("w", "<u4", (44,))])
_Starts = npt.NDArray[np.uint64]

_lock = threading.Lock()
_host_bins = 0


def host_bins() -> int:
    """Bins with a core that this process has encoded on the host for a device."""
    return _host_bins


def encode(
    device: Device,
    keys: Any,
    starts: Any,
    values: Any,
    parameters: host.Parameters,
    *,
    seed: bytes,
    fill: Any = None,
    out: Any = None,
) -> Any:
    """`crypsis.okvs.encode` of arrays on `device`, where the tables are too.

    Bins with a core are encoded on the host (see the module). An EncodeFailure names the lowest bin that has no table.
    """
    ends = _keys(device, keys, starts)
    width = host._checked(parameters).value_bytes
    _array(device, "values", values, (len(keys), width))
    shape = (len(ends) - 1, parameters.columns, width)
    inputs = {"keys": keys, "starts": starts, "values": values}
    if fill is not None:
        _array(device, "fill", fill, shape)
        inputs["fill"] = fill
    _check_bins(ends, len(keys), parameters.n_items)
    hashes = _hashes(seed)
    out = _bytes.output(device, out, shape, apart=inputs)
    if len(ends) > 1:
        _Encode(device, keys, ends, values, parameters, seed, hashes, fill, out).run()
    return out


def decode(
    device: Device,
    keys: Any,
    starts: Any,
    table: Any,
    parameters: host.Parameters,
    *,
    seed: bytes,
    out: Any = None,
) -> Any:
    """`crypsis.okvs.decode` of arrays on `device`, where the values are too."""
    ends = _keys(device, keys, starts)
    _bytes.array(device, "table", table)
    width = table.shape[-1] if table.ndim == 3 else 0
    if width != 16 or host._checked(parameters).field == 128:
        width = host._checked(parameters).value_bytes
    _array(device, "table", table, (len(ends) - 1, parameters.columns, width))
    _check_bins(ends, len(keys), len(keys))
    hashes = _hashes(seed)
    out = _bytes.output(
        device, out, (len(keys), width), apart={"keys": keys, "starts": starts, "table": table}
    )
    if len(keys) == 0:
        return out
    there = device.from_host(ends)
    for first in range(0, len(ends) - 1, MAX_LAUNCH_BINS):
        part = slice(first, min(first + MAX_LAUNCH_BINS, len(ends) - 1))
        grid, job = _by_keys("decode", ends, part, parameters)
        device.launch(
            SLUG,
            "decode",
            source=VALUES,
            grid=grid,
            block=launch_shapes(SLUG)["decode"]["block"],
            args=[out, table, keys, there, *hashes, job],
            defines={"FIELD": parameters.field, "LANES": 8 * width // parameters.field},
        )
    return out


@dataclass(repr=False)
class _Encode:
    """One call of `encode`, whose arguments are checked."""

    device: Device
    keys: Any
    ends: _Starts
    values: Any
    parameters: host.Parameters
    seed: bytes
    hashes: tuple[Any, Any]
    fill: Any
    out: Any

    def run(self) -> None:
        """Writes all tables. Raises EncodeFailure, DeviceMemoryError."""
        device, n_bins = self.device, len(self.ends) - 1
        self.starts = device.from_host(self.ends)
        self.counts = device.empty((n_bins, 2), np.uint32)
        most = launch_shapes(SLUG)["peel"]["state_bytes"] // (_STATE_BYTES * self.parameters.sparse)
        sizes = np.diff(self.ends)
        in_blocks(
            device,
            n_bins,
            self._bin_bytes(int(sizes.max())),
            self._encode_bins,
            what="tables of bins",
            most=max(1, min(most, MAX_LAUNCH_BINS)),
        )
        peeled = device.to_host(self.counts)[:, 0]
        for number in np.flatnonzero(peeled != sizes):
            self._encode_on_host(int(number))

    def _bin_bytes(self, longest: int) -> int:
        rest = 0 if self.fill is None else self.parameters.value_bytes * longest
        return (_STATE_BYTES + 2) * self.parameters.sparse + 8 * longest + 2 * (longest + 1) + rest

    def _encode_bins(self, part: slice) -> None:
        n, sparse = part.stop - part.start, self.parameters.sparse
        first, last = int(self.ends[part.start]), int(self.ends[part.stop])
        longest = int(np.diff(self.ends[part.start : part.stop + 1]).max())
        made: list[Any] = []

        def scratch(shape: tuple[int, ...], dtype: type[np.generic]) -> Any:
            made.append(self.device.empty(shape, dtype))
            return made[-1]

        try:
            state, order = scratch((n, sparse), np.uint64), scratch((n, sparse), np.uint32)
            queue, records = scratch((n, sparse), np.uint16), scratch((n, longest), np.uint64)
            steps, rest = scratch((n, longest + 1), np.uint16), self.values
            if self.fill is not None:
                rest = scratch((last - first, self.parameters.value_bytes), np.uint8)
            self._peel(part, state, order, queue, records, steps)
            self._substitute(part, records, steps, rest)
        finally:
            for array in made:  # they follow from keys and values
                array.fill(0)

    def _peel(self, part: slice, state: Any, order: Any, queue: Any, records: Any, steps: Any) -> None:
        state.fill(0)
        if self.ends[part.start] < self.ends[part.stop]:
            grid, job = _by_keys("add_rows", self.ends, part, self.parameters)
            self._launch("add_rows", None, grid, [state, self.keys, self.starts, self.hashes[0], job])
        job = _job(self.parameters, self.ends, part)
        arrays = [state, order, queue, records, steps, self.counts, job]
        self._launch("peel", None, part.stop - part.start, arrays)

    def _substitute(self, part: slice, records: Any, steps: Any, rest: Any) -> None:
        if self.fill is None:
            self.out[part].fill(0)
        else:
            self.out[part] = self.fill[part]
        first = int(self.ends[part.start])
        if first == int(self.ends[part.stop]):
            return
        if self.fill is not None:
            grid, job = _by_keys("add_dense", self.ends, part, self.parameters, first)
            args = [rest, self.values, self.out, self.keys, self.starts, self.hashes[1], job]
            self._launch("add_dense", VALUES, grid, args)
        job = _job(self.parameters, self.ends, part, keys=0 if self.fill is None else first)
        args = [self.out, rest, self.starts, records, steps, self.counts, job]
        self._launch("substitute", VALUES, part.stop - part.start, args)

    def _launch(self, kernel: str, source: str | None, grid: int, args: list[Any]) -> None:
        block = launch_shapes(SLUG)["peel" if kernel == "substitute" else kernel]["block"]
        self.device.launch(
            SLUG,
            kernel,
            source=source,
            grid=grid,
            block=block,
            args=args,
            defines=None if source is None else {"FIELD": self.parameters.field, "LANES": 1},
        )

    def _encode_on_host(self, number: int) -> None:
        global _host_bins
        device, part = self.device, slice(int(self.ends[number]), int(self.ends[number + 1]))
        own = [self.keys[part], self.values[part]]
        if self.fill is not None:
            own.append(self.fill[number : number + 1])
        copies: list[npt.NDArray[np.uint8]] = []
        try:
            copies.extend(device.to_host_secret(array) for array in own)
            starts = np.array([0, part.stop - part.start], np.uint64)
            table = host.encode(
                copies[0],
                starts,
                copies[1],
                self.parameters,
                seed=self.seed,
                fill=None if self.fill is None else copies[2],
            )
            copies.append(table)
            there = device.from_host_secret(table[0])
            self.out[number] = there
            there.fill(0)
        except EncodeFailure as error:
            raise EncodeFailure(str(error).replace("bin 0 of", f"bin {number} of", 1)) from None
        finally:
            for copy in copies:
                copy.fill(0)
        with _lock:
            _host_bins += 1


def _keys(device: Device, keys: Any, starts: Any) -> _Starts:
    """Where bins begin, on the host; both arrays checked."""
    _bytes.array(device, "keys", keys, what=f"uint8[n, {host.KEY_BYTES}]")
    if keys.ndim != 2 or keys.shape[1] != host.KEY_BYTES:
        raise ValueError(f"keys has shape {keys.shape}: give uint8[n, {host.KEY_BYTES}]")
    if not device.owns(starts) or starts.dtype != np.uint64:
        kind = f"an array of {starts.dtype}" if device.owns(starts) else _arguments.kind(starts)
        raise TypeError(f"starts is {kind}: give an array of uint64 on {device.name}")
    if starts.ndim != 1 or len(starts) < 1:
        raise ValueError(f"starts has shape {starts.shape}: give uint64[bins + 1]")
    return np.ascontiguousarray(device.to_host(device.xp.ascontiguousarray(starts)))


def _array(device: Device, name: str, value: Any, shape: tuple[int, ...]) -> None:
    if device.owns(value) and value.dtype == np.uint8 and value.shape != shape:
        raise ValueError(f"{name} has shape {value.shape}: give uint8{list(shape)}")
    _bytes.array(device, name, value)


def _check_bins(ends: _Starts, n_keys: int, most: int) -> None:
    """The checks and words of csrc/okvs/dispatch.cpp."""
    if ends[0] != 0:
        raise ValueError(f"starts begins with {ends[0]}: give 0")
    sizes = np.diff(ends)
    bad = np.flatnonzero((ends[1:] < ends[:-1]) | (sizes > most))
    if len(bad):
        i, begin, end = int(bad[0]), int(ends[bad[0]]), int(ends[bad[0] + 1])
        if end < begin:
            raise ValueError(f"starts falls from {begin} to {end} at bin {i}: give bins one after the other")
        raise ValueError(f"bin {i} has {end - begin} keys: the parameters are for {most}")
    if ends[-1] != n_keys:
        raise ValueError(f"starts ends with {ends[-1]}: there are {n_keys} keys")


def _hashes(seed: Any) -> tuple[Any, Any]:
    """Round keys of the columns' and of the element's hash: the seed ^ 1 and ^ 2 in its first byte."""
    seed = host._seed(seed)
    columns, element = (
        np.array((aes.expand_key(bytes([seed[0] ^ part]) + seed[1:]).reshape(-1).view("<u4"),), _ROUND_KEYS)[
            ()
        ]
        for part in (1, 2)
    )
    return columns, element


def _job(parameters: host.Parameters, ends: _Starts, part: slice, *, keys: int = 0, parts: int = 1) -> Any:
    longest = int(np.diff(ends[part.start : part.stop + 1]).max())
    return np.array(
        (part.start, keys, parameters.sparse, parameters.dense, min(longest, host.MAX_ITEMS), parts), _JOB
    )[()]


def _by_keys(
    kernel: str, ends: _Starts, part: slice, parameters: host.Parameters, keys: int = 0
) -> tuple[int, Any]:
    """(grid, job) of a launch with as many blocks a bin as the bins' mean asks for, four times where one is longer."""
    shape = launch_shapes(SLUG)[kernel]
    step, n_bins = shape["block"] * shape["keys"], part.stop - part.start
    sizes = np.diff(ends[part.start : part.stop + 1])
    mean = int(ends[part.stop] - ends[part.start]) // n_bins
    parts = max(1, min(-(-int(sizes.max()) // step), 4 * -(-mean // step)))
    return parts * n_bins, _job(parameters, ends, part, keys=keys, parts=parts)
