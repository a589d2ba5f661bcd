# SPDX-License-Identifier: Apache-2.0
"""The LPN encoders of `crypsis.vole` on a device: kernels/vole/lpn.cu. Called by way of `crypsis.vole`.

A code's seed is public. It is 16 bytes, or an array of the device, which is copied to the host first: the call then
waits for the device. Vectors are secrets: what a convolution keeps of one beside it is overwritten.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crypsis import _arguments, _core
from crypsis import _lpn as host
from crypsis.cuda import _vole_checks as check
from crypsis.cuda._blocks import in_blocks
from crypsis.cuda._device import Device
from crypsis.cuda._tuning import launch_shapes

SLUG, SOURCE = "vole", "vole/lpn.cu"
BLOCK = check.BLOCK
GROUP_PLACES, MATRIX_WORDS = 25, 56
"""As in kernels/vole/convolution.cuh."""

AES_TABLE_BYTES = 4 * 256 * 32
ROWS = 256
"""Rows of a tile of `gather_rows`."""

_CODE_KEYS = np.dtype([("words", "<u4", (2, 44))])
_CHUNKS = np.dtype(
    [(name, "<u4") for name in ("chunk_groups", "n_groups", "n_places", "field", "n_vectors", "measure")]
)
_GATHER_JOB = np.dtype(
    [
        ("keys", "<u4", (44,)),
        ("first_block", "<u8"),
        ("n_rows", "<u8"),
        ("weight", "<u4"),
        ("log_table", "<u4"),
        ("word_bytes", "<u4"),
        ("add", "<u4"),
        ("width", "<u4", (2,)),
    ]
)


@check.copies_wiped("positions", "values")
def place_noise(device: Device, positions: Any, values: Any, depth: int, out: Any) -> Any:
    """out, uint8[n * 2^depth, 16]: zero but for values[i] at positions[i] of piece i of 2^depth blocks."""
    depth = _arguments.integer("depth", depth, 1, _core.vole.MAX_TREE_DEPTH)
    positions = check.positions(device, positions, depth)
    n = len(positions)
    width = _width(device, "values", values)
    values = check.rows(device, "values", values, (width,), n)
    out = check.written(device, "out", out, (n << depth, width))
    check.apart(device, positions=positions, values=values, out=out)
    if n:
        block = launch_shapes(SLUG)["place_noise"]["block"]
        sizes = [np.uint64(n << depth), np.uint32(depth), np.uint32(width)]
        _launch(device, "place_noise", -(-(n << depth) // block), block, [out, positions, values, *sizes])
    return out


@check.copies_wiped("table")
def primal_encode(
    device: Device, seed: Any, table: Any, out: Any, *, first_row: int = 0, bits: Any = None
) -> Any:
    """out[i] ^= the xor of ten blocks of `table`: rows first_row + i of the public sparse matrix of `seed`."""
    seed, arrays = _seed(device, seed)
    table = check.rows(device, "table", table, (BLOCK,))
    log_table = host._log_of("table", len(table), 0)
    n = _length(device, out)
    out = check.written(device, "out", out, (n, BLOCK))
    first_row = host._first_row(first_row)
    arrays |= {"table": table, "out": out}
    if bits is not None:
        bits = check.written(device, "bits", bits, ((n + 7) // 8,))
        arrays |= {"bits": bits}
    check.apart(device, **arrays)
    job = np.zeros((), _GATHER_JOB)
    word_bytes = 2 if log_table <= 16 else 4
    job["keys"], job["n_rows"], job["weight"] = check.round_keys(seed), n, host.PRIMAL_WEIGHT
    job["first_block"] = first_row * host.PRIMAL_WEIGHT * word_bytes // BLOCK
    job["log_table"], job["word_bytes"], job["add"], job["width"] = log_table, word_bytes, 1, BLOCK
    _gather(device, job, [out, None], [table, None], bits)
    return out


def expand_convolute(
    device: Device,
    seed: Any,
    vector: Any,
    out: Any,
    *,
    weight: int,
    field: int = 128,
    second: tuple[Any, Any] | None = None,
) -> Any:
    """out = B A2 A1 vector, and the same code of `second` beside it."""
    seed, arrays = _seed(device, seed)
    if field not in (64, 128):
        raise ValueError(f"field is {field!r}: use 128 or 64")
    names = [("vector", "out"), ("second[0]", "second[1]")]
    pairs = [(vector, out)] if second is None else [(vector, out), second]
    widths, n_places, n_rows = [], _length(device, vector), _length(device, out)
    log_code = 0
    for i, ((from_name, to_name), (source, target)) in enumerate(zip(names, pairs, strict=False)):
        width = _width(device, from_name, source) if field == 64 else BLOCK
        source = check.written(device, from_name, source, (n_places, width))
        if i == 0:
            log_code = host._log_of("vector", n_places, host.MIN_LOG_CODE)
            weight = _arguments.integer("weight", weight, 1, host.MAX_EXPANDER_WEIGHT)
        target = check.written(device, to_name, target, (n_rows, width))
        widths.append(width)
        arrays |= {f"vector{i + 1}" if i else "vector": source, f"out{i + 1}" if i else "out": target}
    check.apart(device, **arrays)
    _convolute(device, [_part(seed, 1), _part(seed, 2)], [source for source, _ in pairs], widths, field)
    job = np.zeros((), _GATHER_JOB)
    job["keys"], job["n_rows"], job["weight"] = check.round_keys(_part(seed, 3)), n_rows, weight
    job["log_table"], job["word_bytes"] = log_code, 4
    job["width"] = [*widths, 0][:2]
    sources, targets = ([*[pair[i] for pair in pairs], None][:2] for i in (0, 1))
    _gather(device, job, targets, sources, None)
    return out


def _convolute(device: Device, keys: list[bytes], vectors: list[Any], widths: list[int], field: int) -> None:
    """Both convolutions of each vector, in place."""
    n_places = len(vectors[0])
    n_groups = -(-n_places // GROUP_PLACES)
    chunk_groups = _chunk_groups(n_groups)
    n_chunks = -(-n_groups // chunk_groups)
    n_vectors, planes_of = len(vectors), [8 * width for width in widths]
    code = np.array(([check.round_keys(key) for key in keys],), _CODE_KEYS)[()]
    sizes = [np.uint32(n_groups), np.uint32(n_places)]
    tuned = launch_shapes(SLUG)

    def chunks(measure: int) -> Any:
        return np.array((chunk_groups, n_groups, n_places, field, n_vectors, measure), _CHUNKS)[()]

    def work(_: slice) -> None:
        columns = device.empty((2, n_groups, MATRIX_WORDS), np.uint32)
        transitions = device.empty((n_chunks, field, MATRIX_WORDS // 2), np.uint32)
        planes = [device.empty((n_groups, n), np.uint32) for n in planes_of]
        # Of both passes: a row for each chunk, and one for what goes beyond the end.
        carries = [device.empty((2, n_chunks + 1, n), np.uint32) for n in planes_of]
        counts = [np.uint32(n) for n in (*planes_of, 0)][:2]
        try:
            tiles = -(-n_groups // tuned["draw_columns"]["groups"])
            _launch(
                device, "draw_columns", (tiles, 2), tuned["draw_columns"]["block"], [columns, code, *sizes]
            )
            block = tuned["planes"]["block"]
            grid = -(-n_groups // (block // 32))
            for plane, vector, width in zip(planes, vectors, widths, strict=True):
                _launch(device, "to_planes", grid, block, [plane, vector, np.uint32(width), *sizes])
            ends: list[Any] = [None, None]
            for number in range(2):
                own = [*(carry[number] for carry in carries), None][:2]
                for carry in own[:n_vectors]:
                    carry[0].fill(0)
                args = [*planes, None][:2] + counts + own + ends
                block = tuned["convolute"]["block"]
                if n_chunks > 1:
                    units = -(-GROUP_PLACES // (block // field)) if n_chunks > 2 else 0
                    grid2 = (n_chunks - 1, n_vectors + units)
                    _launch(
                        device, "convolute", grid2, block, [*args, transitions, columns[number], chunks(1)]
                    )
                if n_chunks > 2:
                    rest = [transitions, np.uint32(n_chunks), np.uint32(field)]
                    _launch(device, "pass_carries", n_vectors, 4 * field, [*own, *counts, *rest])
                grid2 = (n_chunks, n_vectors)
                _launch(device, "convolute", grid2, block, [*args, None, columns[number], chunks(0)])
                ends = [*(carry[number, n_chunks] for carry in carries), None][:2]
            block = tuned["planes"]["block"]
            for plane, vector, width, end in zip(planes, vectors, widths, ends, strict=False):
                _launch(device, "from_planes", grid, block, [vector, plane, end, np.uint32(width), *sizes])
        finally:
            for secret in (*planes, *carries):
                secret.fill(0)

    need = n_groups * 4 * (2 * MATRIX_WORDS + sum(planes_of))
    in_blocks(device, 1, need, work, what=f"the convolution of {n_places} places")


def _chunk_groups(n_groups: int) -> int:
    """Groups of a chunk."""
    tuned = launch_shapes(SLUG)["convolute"]
    return max(-(-n_groups // tuned["chunks"]), tuned["chunk_groups"])


def _gather(device: Device, job: Any, outs: list[Any], tables: list[Any], bits: Any) -> None:
    n_rows = int(job["n_rows"])
    if n_rows == 0:
        return
    shape = launch_shapes(SLUG)["gather_rows"]
    grid = min(-(-n_rows // ROWS), shape["blocks"] * device.n_multiprocessors)
    shared = AES_TABLE_BYTES + ROWS * int(job["weight"]) * int(job["word_bytes"])
    _launch(device, "gather_rows", grid, ROWS, [*outs, *tables, bits, job[()]], shared_bytes=shared)


def _launch(
    device: Device, kernel: str, grid: int | tuple[int, ...], block: int, args: list[Any], **options: int
) -> None:
    device.launch(SLUG, kernel, grid=grid, block=block, args=args, source=SOURCE, **options)  # type: ignore[arg-type]


def _seed(device: Device, seed: Any) -> tuple[bytes, dict[str, Any]]:
    """(the seed on the host, the device's array by name where it is one)."""
    if isinstance(seed, bytes):
        if len(seed) != BLOCK:
            raise ValueError(f"seed has shape ({len(seed)},): give uint8[{BLOCK}]")
        return seed, {}
    seed = check.array(device, "seed", seed)
    if seed.shape != (BLOCK,):
        raise ValueError(f"seed has shape {seed.shape}: give uint8[{BLOCK}]")
    return device.to_host(seed).tobytes(), {"seed": seed}


def _part(seed: bytes, number: int) -> bytes:
    """Keys of the two convolutions and of the expander."""
    return bytes([seed[0] ^ number]) + seed[1:]


def _width(device: Device, name: str, value: Any) -> int:
    """Bytes of an element: 8 in rows of 8, else 16."""
    return 8 if check.array(device, name, value).shape[1:] == (8,) else BLOCK


def _length(device: Device, value: Any) -> int:
    return len(value) if device.owns(value) and value.ndim else 0
