# SPDX-License-Identifier: Apache-2.0
"""Join plans that do not need memory for every row: a bit a row without alignment, files of row ids with it.

    mask = RowMask.empty(n_rows, join="left", own_side="left")      # without alignment
    for bin in bins: mask.mark(rows of its matched keys)
    write_output(source, mask, "out.parquet")

    pieces = [write_index(path of the bin, pair_rows(...)) for bin in bins]     # with alignment
    plan = FilePlan.aligned(pieces, mask, peer_unmatched_rows=...)
    write_output(source, plan, "out.parquet")

Both give the same output as `select_rows` and `plan_join` do for the whole table with the matched keys in the order of
the bins.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crypsis.errors import CorruptData, DataError
from crypsis.mpc.data.joins import (
    NULL_ROW,
    SIDES,
    Ints,
    Join,
    JoinPlan,
    Side,
    check_join,
    checked_size,
    join_size,
    keeps_own,
    row_type,
)
from crypsis.mpc.data.storage import no_space, sync

CHUNK_ROWS: Final = 1 << 20
_MARK_ROWS: Final = 1 << 22
_TYPES: Final = ("<u4", "<i8")
_BITS: Final = 8
_BIT: Final = np.left_shift(np.uint8(1), np.arange(_BITS, dtype=np.uint8))


@dataclass(frozen=True, eq=False)
class RowMask:
    """Which own rows have a partner, a bit each, and the join that decides which of them are written.

    bits    uint8[ceil(n_rows / 8)]: row i is bit i % 8 (1 << i % 8) of byte i // 8; the bits after the last row are 0
    n_rows  own rows

    As output without alignment it means what `select_rows` returns.
    """

    bits: npt.NDArray[np.uint8]
    n_rows: int
    join: Join = "inner"
    own_side: Side = "left"

    def __post_init__(self) -> None:
        check_join(self.join, self.own_side)
        if self.n_rows < 0:
            raise ValueError(f"n_rows must not be negative, got {self.n_rows}")
        size = -(-self.n_rows // _BITS)
        if self.bits.dtype != np.uint8 or self.bits.shape != (size,) or not self.bits.flags.c_contiguous:
            raise ValueError(
                f"bits must be contiguous uint8[{size}], not {self.bits.dtype}{list(self.bits.shape)}"
            )
        if self.n_rows % _BITS and int(self.bits[-1]) >> self.n_rows % _BITS:
            raise ValueError("bits are set after the last row")

    @classmethod
    def empty(cls, n_rows: int, *, join: Join = "inner", own_side: Side = "left") -> RowMask:
        """The mask in which no row has a partner."""
        if n_rows < 0:
            raise ValueError(f"n_rows must not be negative, got {n_rows}")
        return cls(np.zeros(-(-n_rows // _BITS), np.uint8), n_rows, join, own_side)

    def mark(self, rows: npt.NDArray[Any]) -> None:
        """Sets the bits of `rows`, integers in any order, repeated or not."""
        for begin in range(0, len(rows), _MARK_ROWS):
            part = rows[begin : begin + _MARK_ROWS]
            if part.dtype.kind not in "iu":
                raise ValueError(f"rows must be integers, not {part.dtype}")
            low, high = int(part.min()), int(part.max())
            if low < 0 or high >= self.n_rows:
                raise ValueError(f"rows are in {low}..{high}, outside 0..{self.n_rows - 1}")
            part = np.sort(part)  # three times as fast as random places of a large mask, the sort included
            np.bitwise_or.at(self.bits, (part >> 3).astype(np.int64), _BIT[(part & 7).astype(np.intp)])

    @property
    def n_partnered(self) -> int:
        """Own rows that have a partner."""
        step = CHUNK_ROWS
        return sum(
            int(np.bitwise_count(self.bits[i : i + step]).sum()) for i in range(0, len(self.bits), step)
        )

    @property
    def n_matched(self) -> int:
        """Output rows that have a partner."""
        return 0 if self.join == "difference" else self.n_partnered

    def __len__(self) -> int:
        """Number of output rows."""
        if self.join == "difference":
            return self.n_rows - self.n_partnered
        return self.n_rows if keeps_own(self.join, self.own_side) else self.n_partnered

    def partnered(self, start: int, n: int) -> pa.BooleanArray:
        """Whether each of the rows start..start+n-1 has a partner; nothing is copied."""
        return pa.Array.from_buffers(pa.bool_(), n, [None, pa.py_buffer(self.bits)], offset=start)

    def kept(self, start: int, n: int) -> pa.BooleanArray | None:
        """Whether each of the rows start..start+n-1 is written; None: all of them."""
        if self.join == "difference":
            return pc.invert(self.partnered(start, n))
        return None if keeps_own(self.join, self.own_side) else self.partnered(start, n)

    def unpartnered_rows(self) -> Iterator[npt.NDArray[np.int64]]:
        """Ids of the rows without partner, ascending, some at a time."""
        for start in range(0, self.n_rows, CHUNK_ROWS):
            n = min(CHUNK_ROWS, self.n_rows - start)
            first = start // _BITS
            bits = np.unpackbits(self.bits[first : first + -(-n // _BITS)], count=n, bitorder="little")
            yield np.flatnonzero(bits == 0) + start


@dataclass(frozen=True)
class IndexFile:
    """A complete file of own row ids in output order: `type` "<u4", or "<i8" where -1 is a null row."""

    path: str
    n_rows: int
    type: str
    sha256: str

    def __post_init__(self) -> None:
        if self.type not in _TYPES:
            raise ValueError(f"IndexFile.type must be one of {', '.join(_TYPES)}, not {self.type!r}")

    @property
    def n_bytes(self) -> int:
        """Size of the file."""
        return self.n_rows * np.dtype(self.type).itemsize

    def chunks(self) -> Iterator[npt.NDArray[Any]]:
        """The row ids, some at a time. Raises CorruptData, naming the file, for a wrong length at the start and for a
        wrong SHA-256 at the end."""
        state = hashlib.sha256()
        try:
            with open(self.path, "rb", buffering=0) as stream:
                size = os.fstat(stream.fileno()).st_size
                if size != self.n_bytes:
                    raise self._corrupt(f"has {size} bytes, not {self.n_bytes}")
                for start in range(0, self.n_rows, CHUNK_ROWS):
                    chunk = np.empty(min(CHUNK_ROWS, self.n_rows - start), self.type)
                    view = chunk.data.cast("B")
                    done = 0
                    while done < len(view):
                        n_read = stream.readinto(view[done:])
                        if not n_read:
                            raise self._corrupt("ends early")
                        done += n_read
                    state.update(view)
                    yield chunk
        except FileNotFoundError as error:
            raise self._corrupt("is gone") from error
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        if state.hexdigest() != self.sha256:
            raise self._corrupt("does not have the SHA-256 it was written with")

    def _corrupt(self, what: str) -> CorruptData:
        return CorruptData(
            f"{self.path}: the rows of the output: the file {what}; remove the work directory and run the job again"
        )


def write_index(path: str | os.PathLike[str], chunks: Iterable[Ints]) -> IndexFile:
    """Writes row ids to `path`, readable by the owner only, replacing what is there; complete or not there at all.

    All chunks have one type: uint32, or int64 where -1 stands for a null row. Raises DataError for a full disk.
    """
    target = os.fspath(path)
    partial = f"{target}.partial"
    state = hashlib.sha256()
    n_rows = 0
    chosen: str | None = None
    try:
        try:
            fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                for chunk in chunks:
                    chosen = chosen or _type_of(chunk)
                    view = np.ascontiguousarray(chunk, _same(chunk, chosen)).data.cast("B")
                    state.update(view)
                    n_rows += len(chunk)
                    while view:
                        view = view[os.write(fd, view) :]
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(partial, target)
            sync(os.path.dirname(os.path.abspath(target)))
        except OSError as error:
            size = n_rows * np.dtype(chosen or "<u4").itemsize
            raise no_space(target, error, f"{size} bytes of row ids or more are needed") from error
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise
    return IndexFile(target, n_rows, chosen or "<u4", state.hexdigest())


def _type_of(chunk: Ints) -> str:
    for name in _TYPES:
        if chunk.dtype == np.dtype(name):
            return name
    raise ValueError(f"row ids must be uint32 or int64, not {chunk.dtype}")


def _same(chunk: Ints, chosen: str) -> str:
    if chunk.dtype != np.dtype(chosen):
        raise ValueError(f"row ids are {chunk.dtype} after {np.dtype(chosen)}: write one type")
    return chosen


@dataclass(frozen=True)
class NullRows:
    """`n_rows` null rows: only the peer's payload fills them."""

    n_rows: int


@dataclass(frozen=True, eq=False)
class LoneRows:
    """The `n_rows` rows of `mask` without partner, ascending; the mask must not change any more."""

    mask: RowMask
    n_rows: int


Part = IndexFile | NullRows | LoneRows


@dataclass(frozen=True, eq=False)
class FilePlan:
    """The aligned output as parts that follow one another; the first `n_matched` output rows have partners.

    n_source_rows  own rows; every row id is below
    """

    parts: tuple[Part, ...]
    n_source_rows: int
    n_matched: int

    def __post_init__(self) -> None:
        if not 0 <= self.n_matched <= len(self):
            raise ValueError(f"n_matched is {self.n_matched}, the parts have {len(self)} rows")

    @classmethod
    def aligned(
        cls,
        pieces: Iterable[IndexFile],
        mask: RowMask,
        *,
        peer_unmatched_rows: int = 0,
        max_output_rows: int | None = None,
    ) -> FilePlan:
        """The plan of a join from its pieces.

        pieces               one of `write_index` a bin, in the order of the bins at both parties: block 1 of
                             `crypsis.mpc.data.joins`; not used by the join "difference"
        mask                 the rows that have a partner, marked, with the join and the own side
        peer_unmatched_rows  rows of the peer without partner: as many null rows here

        Raises DataError when the output would exceed `max_output_rows`, as `plan_join`.
        """
        if peer_unmatched_rows < 0:
            raise ValueError(f"peer_unmatched_rows must not be negative, got {peer_unmatched_rows}")
        join, own_side = mask.join, mask.own_side
        matched = list(pieces) if join != "difference" else []
        n_matched = sum(piece.n_rows for piece in matched)
        own = LoneRows(mask, mask.n_rows - mask.n_partnered)
        peer = NullRows(peer_unmatched_rows)
        left, right = (own, peer) if own_side == "left" else (peer, own)
        size = join_size(join, n_matched, left.n_rows, right.n_rows)
        checked_size(size, mask.n_rows, max_output_rows, n_keys=mask.n_partnered, n_pairs=n_matched)
        sides = SIDES if join in ("full", "difference") else (join,) if join in SIDES else ()
        blocks = {"left": left, "right": right}
        return cls((*matched, *(blocks[side] for side in sides)), mask.n_rows, n_matched)

    def __len__(self) -> int:
        """Number of output rows."""
        return sum(part.n_rows for part in self.parts)

    def chunks(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """(output row of the first, own row ids) in output order; null rows are left out, or -1.

        Raises CorruptData for a file that is not as it was written or names a row that does not exist.
        """
        position = 0
        for part in self.parts:
            end = position + part.n_rows
            if isinstance(part, NullRows):
                position = end
                continue
            for rows in part.chunks() if isinstance(part, IndexFile) else part.mask.unpartnered_rows():
                if len(rows) and not NULL_ROW <= int(rows.min()) <= int(rows.max()) < self.n_source_rows:
                    where = part.path if isinstance(part, IndexFile) else "the mask"
                    raise CorruptData(
                        f"{where}: a row id is outside -1..{self.n_source_rows - 1}: it is of another input; "
                        "remove the work directory and run the job again"
                    )
                yield position, rows
                position += len(rows)
            if position != end:
                raise CorruptData("the mask has changed since the plan was made; run the job again")

    def is_matched(self, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """bool[stop - start]: the indicator column of the output rows start..stop-1."""
        return np.arange(start, stop) < self.n_matched


def in_memory(plan: RowMask | FilePlan) -> JoinPlan:
    """The same plan with a row id in memory for each output row."""
    if isinstance(plan, RowMask):
        partner = np.unpackbits(plan.bits, count=plan.n_rows, bitorder="little").view(np.bool_)
        kept = ~partner if plan.join == "difference" else partner
        everything = plan.join != "difference" and keeps_own(plan.join, plan.own_side)
        rows = np.arange(plan.n_rows) if everything else np.flatnonzero(kept)
        return JoinPlan(rows.astype(row_type(plan.n_rows), copy=False), plan.n_matched, partner[rows])
    index = np.full(len(plan), NULL_ROW, row_type(plan.n_source_rows))
    for position, chunk in plan.chunks():
        index[position : position + len(chunk)] = chunk
    return JoinPlan(index, plan.n_matched)
