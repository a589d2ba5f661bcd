# SPDX-License-Identifier: Apache-2.0
"""The querier's result: its own rows in file order, whether each was found, and the payload columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from crypsis.errors import DataError
from crypsis.mpc.data import Source
from crypsis.mpc.data.gather import output_schema
from crypsis.mpc.pir.job import QuerierOutcome
from crypsis.mpc.pir.records import Column


def joined_schema(
    source: Source, payload: Sequence[Column], *, columns: Sequence[str] | None = None, found: str = "found"
) -> pa.Schema:
    """The columns of `joined_batches`. Raises DataError for names that collide."""
    own = output_schema(source, columns, None)
    fields = [*own, pa.field(found, pa.bool_()), *(pa.field(c.name, c.arrow_type) for c in payload)]
    names = [field.name for field in fields]
    for name in names[len(own) :]:
        if names.count(name) > 1:
            raise DataError(
                f"column {name!r} would be in the output twice: leave it out of output.columns, or name the column of "
                "found differently"
            )
    return pa.schema(fields)


def joined_batches(
    source: Source, outcome: QuerierOutcome, *, columns: Sequence[str] | None = None, found: str = "found"
) -> Iterator[pa.RecordBatch]:
    """Each own row as often as its key has rows on the list, at least once; NULLs in the payload where it has none."""
    schema = joined_schema(source, outcome.agreed.columns, columns=columns, found=found)
    names = list(schema.names[: len(schema) - 1 - len(outcome.agreed.columns)])
    start = 0
    for batch in source.batches(names):
        count = outcome.count[start : start + batch.num_rows]
        first = outcome.first[start : start + batch.num_rows]
        start += batch.num_rows
        times = np.maximum(count, 1)
        row = np.repeat(np.arange(batch.num_rows), times)
        ordinal = np.arange(len(row)) - np.repeat(np.cumsum(times) - times, times)
        is_found = count[row] > 0
        place = pa.array(first[row] + ordinal, mask=~is_found)
        own = batch.take(pa.array(row)) if int(times.max(initial=1)) > 1 else batch
        payload = [_whole(column.take(place)) for column in outcome.payload.columns]
        yield pa.RecordBatch.from_arrays([*own.columns, pa.array(is_found), *payload], schema=schema)


def joined(
    source: Source, outcome: QuerierOutcome, *, columns: Sequence[str] | None = None, found: str = "found"
) -> pa.Table:
    """`joined_batches` as a table."""
    schema = joined_schema(source, outcome.agreed.columns, columns=columns, found=found)
    return pa.Table.from_batches(joined_batches(source, outcome, columns=columns, found=found), schema=schema)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
