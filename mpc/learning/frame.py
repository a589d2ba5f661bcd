# SPDX-License-Identifier: Apache-2.0
"""`Frame`: one party's columns of the rows that all parties share, and at the guest the labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crypsis.errors import DataError

Floats = npt.NDArray[np.float64]
_NO_CATEGORIES: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Frame:
    """Columns as numbers, NaN where a value is missing.

    names       of the columns, distinct
    values      float64[rows, columns]; for a categorical column the number of the category, from 0
    labels      float64[rows], at the guest only
    ids         int64 or string array of the rows, distinct and without null; None where rows are known to line up
    categories  of the categorical columns: name -> texts, by number
    """

    names: tuple[str, ...]
    values: Floats
    labels: Floats | None = None
    ids: pa.Array | None = None
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NO_CATEGORIES)

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype != np.float64:
            raise ValueError(
                f"values is {self.values.dtype}{list(self.values.shape)}: give float64[rows, columns]"
            )
        if len(self.names) != self.values.shape[1]:
            raise ValueError(f"{len(self.names)} names for {self.values.shape[1]} columns: give one each")
        for name in self.names:
            if self.names.count(name) > 1:
                raise DataError(f"column {name!r} is there twice; rename or leave out one")
        for what, given in (("labels", self.labels), ("ids", self.ids)):
            if given is not None and len(given) != len(self):
                raise ValueError(f"{len(given)} {what} for {len(self)} rows: give one each")
        if np.isinf(self.values).any():
            row, column = np.argwhere(np.isinf(self.values))[0]
            raise DataError(
                f"column {self.names[column]!r} is infinite in row {row}; correct it, or leave it empty"
            )
        if self.labels is not None and not np.isfinite(self.labels).all():
            raise DataError(
                f"the label of row {int(np.argmin(np.isfinite(self.labels)))} is missing or infinite"
            )
        if self.ids is not None:
            _check_ids(self.ids)

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def from_arrow(
        cls,
        table: pa.Table,
        *,
        id: str | None = None,
        label: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> Frame:
        """Of a table: numbers, booleans and dates (days) become float64; texts and dictionaries become categories.

        id: the column that names rows; label: that of the labels; columns: the features, by default all others.
        Raises DataError naming the column that is missing or of another type.
        """
        others = [name for name in table.column_names if name not in (id, label)]
        names = tuple(columns if columns is not None else others)
        for name in (*names, *(one for one in (id, label) if one is not None)):
            if name not in table.column_names:
                raise DataError(
                    f"there is no column {name!r}; the table has {', '.join(map(repr, table.column_names))}"
                )
            if table.column_names.count(name) > 1:
                raise DataError(f"column {name!r} is there twice; rename or leave out one")
        values = np.empty((table.num_rows, len(names)), dtype=np.float64)
        categories: dict[str, tuple[str, ...]] = {}
        for i, name in enumerate(names):
            values[:, i] = _numbers(name, table.column(name), categories)
        labels = None
        if label is not None:
            kinds: dict[str, tuple[str, ...]] = {}
            labels = _numbers(label, table.column(label), kinds)
            if kinds:
                raise DataError(f"the label {label!r} is text; give numbers, such as 0 and 1")
        ids = None if id is None else _combined(table.column(id))
        return cls(names, values, labels, ids, MappingProxyType(categories))

    @classmethod
    def from_numpy(
        cls, values: Any, labels: Any = None, *, names: Sequence[str] | None = None, ids: Any = None
    ) -> Frame:
        """Of an array [rows, columns] and labels [rows]; names default to x0, x1, ..."""
        array = np.array(values, dtype=np.float64, ndmin=2)
        given = tuple(names) if names is not None else tuple(f"x{i}" for i in range(array.shape[1]))
        return cls(
            given,
            array,
            None if labels is None else np.array(labels, dtype=np.float64),
            None if ids is None else pa.array(ids) if len(ids) else pa.array([], pa.string()),
        )

    def take(self, rows: Any) -> Frame:
        """The rows of an index array, a mask or a slice, in its order."""
        index = np.arange(len(self))[rows]
        return Frame(
            self.names,
            self.values[index],
            None if self.labels is None else self.labels[index],
            None if self.ids is None else self.ids.take(pa.array(index)),
            self.categories,
        )

    def select(self, names: Sequence[str]) -> Frame:
        """The columns of these names, in this order. DataError naming one that is missing."""
        for name in names:
            if name not in self.names:
                raise DataError(
                    f"column {name!r} is missing; the model was trained with it, the table has"
                    f" {', '.join(map(repr, self.names))}"
                )
        order = [self.names.index(name) for name in names]
        kept = {name: texts for name, texts in self.categories.items() if name in names}
        return Frame(tuple(names), self.values[:, order], self.labels, self.ids, MappingProxyType(kept))

    def as_trained(
        self, names: Sequence[str], categories: Mapping[str, tuple[str, ...]]
    ) -> tuple[Frame, int]:
        """The columns `names` with categories numbered as in `categories`, and how many values are of no category known
        then: these are missing. DataError for a missing column, or one that is categorical here and was not."""
        picked = self.select(names)
        values, unknown = picked.values.copy(), 0
        for i, name in enumerate(names):
            here, then = picked.categories.get(name), categories.get(name)
            if (here is None) != (then is None):
                raise DataError(
                    f"column {name!r} is {'text' if here is not None else 'numbers'} and was"
                    f" {'text' if then is not None else 'numbers'} when the model was trained; give the same type"
                )
            if here is not None and then is not None and here != then:
                place = {text: float(number) for number, text in enumerate(then)}
                lookup = np.array([place.get(text, np.nan) for text in here] + [np.nan])
                codes = np.where(np.isnan(values[:, i]), len(here), values[:, i]).astype(np.int64)
                unknown += int(np.isnan(lookup[codes]).sum() - np.isnan(values[:, i]).sum())
                values[:, i] = lookup[codes]
        return Frame(picked.names, values, self.labels, self.ids, MappingProxyType(dict(categories))), unknown

    def id_digest(self, salt: bytes, *, ordered: bool = True) -> bytes:
        """SHA-256 over the ids, salted: of their order too, or of the set. ValueError without ids."""
        if self.ids is None:
            raise ValueError("the frame has no ids: name their column")
        ids = self.ids if ordered else self.ids.take(pc.sort_indices(self.ids))
        total = hashlib.sha256(b"crypsis ids 1\0" + salt + len(ids).to_bytes(8, "little"))
        if pa.types.is_integer(ids.type):
            total.update(
                b"int\0" + np.ascontiguousarray(ids.cast(pa.int64()).to_numpy(), dtype="<i8").tobytes()
            )
        else:
            lengths = pc.binary_length(ids).cast(pa.int64()).to_numpy()
            total.update(b"text\0" + np.ascontiguousarray(lengths, dtype="<i8").tobytes())
            for part in ids.to_pylist() if len(ids) else []:
                total.update(part.encode())
        return total.digest()


def _combined(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array


def _check_ids(ids: pa.Array) -> None:
    if not (
        pa.types.is_integer(ids.type) or pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type)
    ):
        raise DataError(f"the ids are {ids.type}; give integers or texts")
    if ids.null_count:
        raise DataError(
            f"the id of row {ids.is_null().to_pylist().index(True)} is missing; leave such rows out"
        )
    if pa.types.is_uint64(ids.type) and len(ids) and pc.max(ids).as_py() >= 1 << 63:
        raise DataError(f"the id {pc.max(ids).as_py()} is 2^63 or more; give smaller integers, or texts")
    if len(pc.unique(ids)) != len(ids):
        counts = pc.value_counts(ids)
        twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        raise DataError(
            f"{len(twice)} ids are there more than once, the first is {twice[0].as_py()!r}; keep one row of each"
        )


def _numbers(name: str, column: pa.ChunkedArray, categories: dict[str, tuple[str, ...]]) -> Floats:
    """float64[rows], NaN for null; texts are numbered in order and put into `categories`."""
    array, kind = _combined(column), column.type
    if pa.types.is_dictionary(kind):
        array, kind = array.cast(kind.value_type), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = tuple(sorted(text for text in pc.unique(array).to_pylist() if text is not None))
        categories[name] = texts
        found = pc.index_in(array, value_set=pa.array(texts, kind))
        return np.asarray(found.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    if pa.types.is_null(kind):
        return np.full(len(array), np.nan)
    if pa.types.is_date(kind):
        array = array.cast(pa.date32()).cast(pa.int32())
    elif not any(
        is_of(kind)
        for is_of in (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    ):
        raise DataError(f"column {name!r} is {kind}; give numbers, booleans, dates or texts, or leave it out")
    return np.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
