# SPDX-License-Identifier: Apache-2.0
"""Generated customers of a bank and of a telco for the demonstration: deterministic, and written in bounded
memory.

Customer c has the 18-digit id `customer_ids(c)`. The bank has customers 0..n-1, the telco n/2..n/2+n-1 (half
of them are the bank's too), each in an order of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

_CHUNK_ROWS = 1 << 20
_ID_DIGITS = 18
_GIVEN = (
    "Ada",
    "Bo",
    "Chen",
    "Dana",
    "Emil",
    "Fatima",
    "Grace",
    "Hugo",
    "Ines",
    "Jun",
    "Kemal",
    "Lin",
    "Mei",
    "Noor",
)
_FAMILY = (
    "Adler",
    "Bauer",
    "Costa",
    "Diaz",
    "Evans",
    "Fischer",
    "Garcia",
    "Huang",
    "Ivanov",
    "Jensen",
    "Khan",
    "Li",
)
_BANDS = ("under 20k", "20k-50k", "50k-100k", "over 100k")
_PLANS = ("prepaid", "basic", "family", "unlimited")

Advance = Callable[[int], None]


def write_bank(path: Path, n_rows: int, advance: Advance) -> None:
    """Parquet: id, name, income_band, defaulted. `advance` is called with the rows written so far."""
    names = pa.array([f"{given} {family}" for given in _GIVEN for family in _FAMILY])
    bands = pa.array(_BANDS)

    def columns(ids: pa.Array, random: np.random.Generator) -> dict[str, pa.Array]:
        n = len(ids)
        return {
            "id": ids,
            "name": names.take(pa.array(random.integers(0, len(names), n))),
            "income_band": bands.take(pa.array(random.integers(0, len(bands), n))),
            "defaulted": pa.array(random.random(n) < 0.04),
        }

    _write(path, n_rows, first_customer=0, seed=1, columns=columns, advance=advance)


def write_telco(path: Path, n_rows: int, advance: Advance) -> None:
    """Parquet: id, tenure_months, plan, monthly_spend. `advance` is called with the rows written so far."""
    plans = pa.array(_PLANS)

    def columns(ids: pa.Array, random: np.random.Generator) -> dict[str, pa.Array]:
        n = len(ids)
        return {
            "id": ids,
            "tenure_months": pa.array(random.integers(1, 240, n, dtype=np.int32)),
            "plan": plans.take(pa.array(random.integers(0, len(plans), n))),
            "monthly_spend": pa.array(np.round(random.gamma(2.0, 15.0, n), 2)),
        }

    _write(path, n_rows, first_customer=n_rows // 2, seed=2, columns=columns, advance=advance)


def customer_numbers(customers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """uint64[n]: what the ids of customers below 2^59 say as numbers, each below 10^18."""
    mask = np.uint64((1 << 59) - 1)  # each step below is a bijection of 59-bit words
    mixed = (customers * np.uint64(0x9E3779B97F4A7C15)) & mask
    mixed ^= mixed >> np.uint64(31)
    mixed = (mixed * np.uint64(0xD6E8FEB86659FD93)) & mask
    return mixed ^ (mixed >> np.uint64(29))


def customer_ids(customers: npt.NDArray[np.uint64]) -> pa.Array:
    """string[n]: different 18-digit ids for different customers below 2^59, in no visible order."""
    mixed = customer_numbers(customers)
    digits = np.empty((len(mixed), _ID_DIGITS), dtype=np.uint8)
    for position in range(_ID_DIGITS - 1, -1, -1):
        mixed, digits[:, position] = np.divmod(mixed, np.uint64(10))
    digits += ord("0")
    offsets = np.arange(len(digits) + 1, dtype=np.int32) * np.int32(_ID_DIGITS)
    return pa.StringArray.from_buffers(len(digits), pa.py_buffer(offsets), pa.py_buffer(digits))


def _write(
    path: Path,
    n_rows: int,
    *,
    first_customer: int,
    seed: int,
    columns: Callable[[pa.Array, np.random.Generator], dict[str, pa.Array]],
    advance: Advance,
) -> None:
    stride = _coprime(n_rows, seed)
    random = np.random.Generator(np.random.PCG64(seed))
    writer: pq.ParquetWriter | None = None
    for begin in range(0, max(n_rows, 1), _CHUNK_ROWS):
        rows = np.arange(begin, min(begin + _CHUNK_ROWS, n_rows), dtype=np.uint64)
        customers = rows * np.uint64(stride) % np.uint64(max(n_rows, 1)) + np.uint64(first_customer)
        table = pa.table(columns(customer_ids(customers), random))
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
        advance(begin + len(rows))
    if writer is not None:
        writer.close()


def _coprime(n_rows: int, seed: int) -> int:
    """A stride that visits every residue modulo n_rows once."""
    stride = max(int(n_rows * 0.618) + seed, 1)
    while math.gcd(stride, max(n_rows, 1)) != 1:
        stride += 1
    return stride
