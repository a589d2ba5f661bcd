# SPDX-License-Identifier: Apache-2.0
"""Two parties' tables of 64-bit ids, up to 2^32 rows, written and checked in bounded memory.

    python -m benchmarks.data_at_scale --rows 1e8 --out DIR           DIR/alice/part-*.parquet, DIR/bob/part-*.parquet
    python -m benchmarks.data_at_scale --rows 1e8 --check out.parquet     is it exactly the rows in common?

Customer c, counted from 0, has the id mix(c), a bijection of 64-bit words. Alice has customers 0..a-1 and bob
a-m..a-m+b-1, so that exactly m are in common without anybody holding them all. Each party's rows come in an order of
its own (a stride coprime to their number). An output is compared with its expected count, exclusive or, sum, and sum of
a second mix of the ids: one wrong id in it would go unseen with probability 2^-64 or so, two would have to conspire.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

Words = npt.NDArray[np.uint64]

PARTIES = ("alice", "bob")
GROUP_ROWS = 1 << 20
PART_ROWS = 1 << 26
MAX_ROWS = (1 << 32) - 1
_MANIFEST = "data.json"
_SCHEMA = pa.schema([("id", pa.int64())])


def mix(words: Words) -> Words:
    """uint64[n] to uint64[n], one to one: xor-shifts and odd products [Steele, Lea, Flood, OOPSLA 2014]."""
    mixed = words + np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


@dataclass(frozen=True)
class Plan:
    """How many rows each party has and how many ids are in both."""

    alice_rows: int
    bob_rows: int
    n_common: int

    def __post_init__(self) -> None:
        if not 0 < self.alice_rows <= MAX_ROWS or not 0 < self.bob_rows <= MAX_ROWS:
            raise ValueError(f"rows are {self.alice_rows} and {self.bob_rows}: use 1 to {MAX_ROWS}")
        if not 0 <= self.n_common <= min(self.alice_rows, self.bob_rows):
            raise ValueError(f"n_common is {self.n_common}: at most {min(self.alice_rows, self.bob_rows)}")

    def customers(self, party: str) -> range:
        """The numbers of a party's customers."""
        if party == "alice":
            return range(self.alice_rows)
        first = self.alice_rows - self.n_common
        return range(first, first + self.bob_rows)

    def common(self) -> range:
        """The numbers of those that both have."""
        return range(self.alice_rows - self.n_common, self.alice_rows)

    def id_blocks(self, party: str) -> Iterator[Words]:
        """The party's ids in the order of its rows, GROUP_ROWS at a time."""
        customers = self.customers(party)
        n_rows = len(customers)
        stride = np.uint64(_coprime(n_rows, golden=0.618 if party == "alice" else 0.382))
        for begin in range(0, n_rows, GROUP_ROWS):
            rows = np.arange(begin, min(begin + GROUP_ROWS, n_rows), dtype=np.uint64)
            yield mix(rows * stride % np.uint64(n_rows) + np.uint64(customers.start))


@dataclass(frozen=True)
class Sums:
    """What is compared of a set of ids: order does not matter, everything else does."""

    count: int = 0
    xor: int = 0
    sum: int = 0
    mixed_sum: int = 0

    def add(self, ids: Words) -> Sums:
        """With uint64[n] more ids."""
        mask = (1 << 64) - 1
        return Sums(
            self.count + len(ids),
            self.xor ^ int(np.bitwise_xor.reduce(ids)),
            (self.sum + int(ids.sum(dtype=np.uint64))) & mask,
            (self.mixed_sum + int(mix(ids).sum(dtype=np.uint64))) & mask,
        )


def expected(plan: Plan) -> Sums:
    """Of the ids in common."""
    sums, common = Sums(), plan.common()
    for begin in range(common.start, common.stop, GROUP_ROWS):
        sums = sums.add(mix(np.arange(begin, min(begin + GROUP_ROWS, common.stop), dtype=np.uint64)))
    return sums


def found(path: Path) -> Sums:
    """Of the ids in an output file, read a row group at a time."""
    sums = Sums()
    for ids in read_ids(path):
        sums = sums.add(ids)
    return sums


def read_ids(path: Path) -> Iterator[Words]:
    """The column `id` of a Parquet file, block by block; a NULL in it is an error."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=GROUP_ROWS, columns=["id"]):
            column = batch.column(0)
            if column.null_count or column.type != pa.int64():
                raise SystemExit(f"{path.name}: the ids hold NULLs or are {column.type}, not int64")
            yield column.to_numpy(zero_copy_only=False).view(np.uint64)


def same_order(one: Path, other: Path) -> bool:
    """Both outputs have the same ids row by row, as an aligned join gives them."""
    pairs = zip(_equal_blocks(read_ids(one)), _equal_blocks(read_ids(other)), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def _equal_blocks(blocks: Iterable[Words], size: int = GROUP_ROWS) -> Iterator[Words]:
    held = np.empty(0, np.uint64)
    for block in blocks:
        held = np.concatenate((held, block))
        while len(held) >= size:
            yield held[:size]
            held = held[size:]
    yield held


def write(plan: Plan, folder: Path, *, say: bool = False) -> tuple[Path, Path]:
    """Both parties' directories of parts, made unless those there were made by the same plan."""
    places = folder / PARTIES[0], folder / PARTIES[1]
    manifest = folder / _MANIFEST
    if manifest.exists() and json.loads(manifest.read_text()) == asdict(plan):
        return places
    for party, place in zip(PARTIES, places, strict=True):
        place.mkdir(parents=True, exist_ok=True)
        for old in place.glob("part-*.parquet"):
            old.unlink()
        _write_parts(plan.id_blocks(party), place, say=say)
    manifest.write_text(json.dumps(asdict(plan)))  # last: what was cut short is made again
    return places


def _write_parts(blocks: Iterable[Words], place: Path, *, say: bool) -> None:
    writer: pq.ParquetWriter | None = None
    n_rows = 0
    for ids in blocks:
        if n_rows % PART_ROWS == 0:
            if writer is not None:
                writer.close()
            path = place / f"part-{n_rows // PART_ROWS:04}.parquet"
            # Random words neither compress nor repeat.
            writer = pq.ParquetWriter(path, _SCHEMA, compression="none", use_dictionary=False)
            if say:
                print(path, flush=True)
        assert writer is not None
        writer.write_table(pa.table({"id": ids.view(np.int64)}, schema=_SCHEMA), row_group_size=GROUP_ROWS)
        n_rows += len(ids)
    if writer is not None:
        writer.close()


def data_bytes(plan: Plan) -> int:
    """About what `write` puts on the disk."""
    return (plan.alice_rows + plan.bob_rows) * 8 * 101 // 100


def _coprime(n_rows: int, *, golden: float) -> int:
    """A stride that visits every residue modulo `n_rows` once."""
    stride = max(int(n_rows * golden), 1)
    while math.gcd(stride, n_rows) != 1:
        stride += 1
    return stride


def check(plan: Plan, path: Path) -> None:
    """Ends the program unless `path` holds exactly the ids in common."""
    want, got = expected(plan), found(path)
    if got != want:
        raise SystemExit(f"{path.name}: {got} where {want} was due")


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """The flags that `plan_of` reads."""
    parser.add_argument("--rows", type=float, required=True, help="of each party, as in 1e8")
    parser.add_argument("--bob-rows", type=float, help="of bob, where they differ")
    parser.add_argument("--common", type=float, help="ids in both (default: half of the smaller)")


def plan_of(options: Any) -> Plan:
    """The plan that the flags describe."""
    alice = int(options.rows)
    bob = int(options.bob_rows or alice)
    common = int(options.common) if options.common is not None else min(alice, bob) // 2
    return Plan(alice, bob, common)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_plan_options(parser)
    parser.add_argument("--out", type=Path, help="where both parties' directories go")
    parser.add_argument("--check", type=Path, help="an output to check")
    options = parser.parse_args()
    plan = plan_of(options)
    if options.out is not None:
        write(plan, options.out, say=True)
    if options.check is not None:
        check(plan, options.check)
        print(f"{options.check.name}: exactly the {plan.n_common} ids in common")


if __name__ == "__main__":
    main()
