# SPDX-License-Identifier: Apache-2.0
"""Two parties' customer files: n rows of 18-character ids, some in common, with columns of their own.

    python -m benchmarks.data --rows 1000000 --common 500000 --format parquet,csv --out DIR

Writes DIR/alice.<format> and DIR/bob.<format>. An id has the shape of a resident identity number: 6 digits of
a region, 8 of a birthday, 3 of a sequence and the ISO 7064 MOD 11-2 check character (a digit or X). Nobody's
number is meant: the regions begin with 0, as no province's code does. Ids are distinct within a party; the
order of the rows is random. The same seed gives the same files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

WIDTH = 18
CHECK_WEIGHTS = np.array([pow(2, 17 - i, 11) for i in range(17)], dtype=np.int32)  # [ISO 7064, MOD 11-2]
CHECK_CHARACTERS = np.frombuffer(b"10X98765432", dtype=np.uint8)
EPOCH = np.datetime64("1950-01-01")
N_DAYS = 20_000
N_IDS = 100_000 * N_DAYS * 1_000  # regions x birthdays x sequences
BLOCK = 1 << 20


def ids(numbers: npt.NDArray[np.int64]) -> pa.StringArray:
    """The id of each number in [0, N_IDS), one to one. ValueError outside that range."""
    if numbers.size and (int(numbers.min()) < 0 or int(numbers.max()) >= N_IDS):
        raise ValueError(f"id numbers must be in [0, {N_IDS}): got {numbers.min()}..{numbers.max()}")
    text = np.empty((len(numbers), WIDTH), dtype=np.uint8)
    for start in range(0, len(numbers), BLOCK):
        _write_ids(numbers[start : start + BLOCK], text[start : start + BLOCK])
    offsets = np.arange(len(numbers) + 1, dtype=np.int64) * WIDTH
    if offsets[-1] < 2**31:
        buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(text)]
        return pa.StringArray.from_buffers(len(numbers), buffers[1], buffers[2])
    return pa.LargeStringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(text))


def _write_ids(numbers: npt.NDArray[np.int64], out: npt.NDArray[np.uint8]) -> None:
    sequence = numbers % 1_000
    day = numbers // 1_000 % N_DAYS
    region = numbers // (1_000 * N_DAYS)
    date = EPOCH + day.astype("timedelta64[D]")
    month_start = date.astype("datetime64[M]")
    year = date.astype("datetime64[Y]").astype(np.int64) + 1970
    month = month_start.astype(np.int64) % 12 + 1
    day_of_month = (date - month_start).astype(np.int64) + 1
    fields = ((region, 6), (year, 4), (month, 2), (day_of_month, 2), (sequence, 3))
    column = 0
    for value, width in fields:
        for place in range(width):
            out[:, column] = 48 + value // 10 ** (width - 1 - place) % 10
            column += 1
    out[:, 17] = CHECK_CHARACTERS[(out[:, :17].astype(np.int32) - 48) @ CHECK_WEIGHTS % 11]


def spread(n_items: int, *, seed: int) -> npt.NDArray[np.int64]:
    """`n_items` distinct numbers in [0, N_IDS), in random order, a function of `seed` only."""
    if not 0 <= n_items <= N_IDS // 4:
        raise ValueError(f"n_items is {n_items}: it must be between 0 and {N_IDS // 4}")
    generator = np.random.default_rng(seed)
    # One number from each of n equal slices is distinct without a table of those seen; then shuffle.
    slice_size = N_IDS // max(n_items, 1)
    numbers = np.arange(n_items, dtype=np.int64) * slice_size
    numbers += generator.integers(0, slice_size, n_items)
    generator.shuffle(numbers)
    return numbers


def parties(alice_rows: int, bob_rows: int, n_common: int, *, seed: int = 1) -> tuple[pa.Table, pa.Table]:
    """Both parties' tables: columns `id` and a few payload columns each; exactly `n_common` ids in both."""
    if not 0 <= n_common <= min(alice_rows, bob_rows):
        raise ValueError(f"n_common is {n_common}: it must be between 0 and {min(alice_rows, bob_rows)}")
    numbers = spread(alice_rows + bob_rows - n_common, seed=seed)
    generator = np.random.default_rng([seed, 1])
    theirs = numbers[alice_rows - n_common :]
    alice = generator.permutation(numbers[:alice_rows])
    bob = generator.permutation(theirs)
    branches = pa.array(["Riverside", "Old Town", "Harbour", "Airport", "University"])
    branch = pa.DictionaryArray.from_arrays(generator.integers(0, 5, alice_rows, dtype=np.int8), branches)
    alice_table = pa.table(
        {
            "id": ids(alice),
            "balance": generator.integers(0, 10_000_000, alice_rows) / 100,
            "branch": branch.cast(pa.string()),
            "since": EPOCH + generator.integers(15_000, 27_000, alice_rows).astype("timedelta64[D]"),
        }
    )
    bob_table = pa.table(
        {
            "id": ids(bob),
            "orders": generator.integers(0, 500, bob_rows, dtype=np.int32),
            "defaulted": generator.random(bob_rows) < 0.03,
        }
    )
    return alice_table, bob_table


def write(table: pa.Table, path: Path) -> None:
    """Write as the suffix says: .parquet or .csv (with a header)."""
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    elif path.suffix == ".csv":
        with path.open("wb") as file:  # no quotes anywhere: a peer's reader may not know them
            file.write((",".join(table.column_names) + "\n").encode())
            options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
            pyarrow.csv.write_csv(table, file, options)
    else:
        raise ValueError(f"{path.name}: use .parquet or .csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, required=True, help="rows of each party")
    parser.add_argument("--bob-rows", type=int, help="rows of bob, where they differ")
    parser.add_argument("--common", type=int, help="ids in both (default: half of the smaller)")
    parser.add_argument("--format", default="parquet", help="parquet, csv or both, separated by a comma")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="folder")
    options = parser.parse_args()
    bob_rows = options.rows if options.bob_rows is None else options.bob_rows
    common = min(options.rows, bob_rows) // 2 if options.common is None else options.common
    options.out.mkdir(parents=True, exist_ok=True)
    for name, table in zip(
        ("alice", "bob"), parties(options.rows, bob_rows, common, seed=options.seed), strict=True
    ):
        for suffix in options.format.split(","):
            write(table, options.out / f"{name}.{suffix}")
            print(options.out / f"{name}.{suffix}")


if __name__ == "__main__":
    main()
