# SPDX-License-Identifier: Apache-2.0
"""From one's own files to a `Frame` whose rows line up with the peer's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crypsis.errors import DataError
from crypsis.mpc.data import KeySpec, Source, TableSource, row_digests
from crypsis.mpc.data.encode import BadValue, encode
from crypsis.mpc.jobs.config import KeyConfig
from crypsis.mpc.learning.frame import Frame
from crypsis.mpc.psi import job as psi_job
from crypsis.mpc.psi.options import Progress as PsiProgress
from crypsis.mpc.psi.options import PsiOptions
from crypsis.mpc.transport import Channel


class RefusedData(DataError):
    """Data of this party that a job cannot use: the text is for this party, `public` is what the peer is told."""

    def __init__(self, text: str, *, public: str) -> None:
        super().__init__(text)
        self.public = public


def read_frame(
    source: Source,
    key: KeyConfig,
    *,
    label: str | None,
    features: Sequence[str] | None,
    drop_null_ids: bool,
) -> Frame:
    """The whole input as a Frame with ids in the key's type.

    features: None for all columns but key and label. drop_null_ids: rows without an id are left out instead of refused.
    Raises DataError, and RefusedData for ids and labels that will not do.
    """
    ids = _ids(source, key)
    others = [name for name in source.schema.names if name not in (key.name, label)]
    names = list(features) if features is not None else others
    source.require_columns([*names, *([] if label is None else [label])])
    wanted = list(dict.fromkeys([*names, *([] if label is None else [label])]))
    try:
        if wanted:
            batches = source.batches(wanted)
            schema = pa.schema([source.schema.field(name) for name in wanted])
            table = pa.Table.from_batches(batches, schema=schema)
        else:
            table = pa.table({"": pa.nulls(len(ids))}).select([])
        if len(ids) != table.num_rows and wanted:
            raise DataError(f"{source.title}: changed while it was read; run the job again on files at rest")
        if drop_null_ids and ids.null_count:
            present = ids.is_valid()
            ids, table = ids.filter(present), table.filter(present)
        return _frame(table, ids, names, label)
    except RefusedData:
        raise
    except DataError as error:
        raise DataError(f"{source.title}: {error}") from error


def _frame(table: pa.Table, ids: pa.Array, names: Sequence[str], label: str | None) -> Frame:
    try:
        plain = (
            Frame.from_arrow(table, label=label, columns=names)
            if table.num_columns
            else Frame((), np.empty((len(ids), 0)))
        )
    except DataError as error:
        if label is not None and "label" in str(error):
            raise RefusedData(str(error), public="its labels will not do") from error
        raise
    try:
        return Frame(plain.names, plain.values, plain.labels, ids, plain.categories)
    except DataError as error:
        raise RefusedData(str(error), public="its ids are missing or there more than once") from error


def _ids(source: Source, key: KeyConfig) -> pa.Array:
    """The ids in one form whatever the file's type: int64 (days since 1970 for dates) or text; nulls stay."""
    kind = pa.string() if key.type == "string" else pa.int64()
    parts: list[pa.Array] = []
    begin = 0
    for batch in source.key_batches([key.name]):
        column = batch.column(0)
        if pa.types.is_null(column.type):
            parts.append(pa.nulls(len(column), kind))
        else:
            valid = column.is_valid()
            try:
                given = encode(column.filter(valid), key.type)
            except BadValue as error:
                row = begin + int(np.flatnonzero(valid.to_numpy(zero_copy_only=False))[error.row])
                raise RefusedData(
                    f"{source.locate(row)}: {key.name!r} {error.what}", public="an id is not of its type"
                ) from error
            values = (
                given.cast(pa.string())
                if key.type == "string"
                else pa.array(np.ascontiguousarray(given).view("<i8").reshape(-1))
            )
            parts.append(_with_nulls(values, valid))
        begin += len(column)
    return pa.concat_arrays(parts) if parts else pa.array([], kind)


def _with_nulls(values: pa.Array, valid: pa.Array) -> pa.Array:
    if len(values) == len(valid):
        return values
    flags = valid.to_numpy(zero_copy_only=False)
    place = np.where(flags, np.cumsum(flags) - 1, 0)
    return values.take(pa.array(place, mask=~flags))


def intersect(
    frame: Frame, channel: Channel, options: PsiOptions, *, progress: PsiProgress | None = None
) -> tuple[npt.NDArray[np.int64], dict[str, Any]]:
    """Rows of `frame` that the peer has too, in an order that both share, and counts for the report.

    `options.keys` gives the type both have agreed on. Ids are distinct: a Frame has no others.
    """
    if frame.ids is None:
        raise ValueError("the frame has no ids: name their column")
    table = pa.table({"id": frame.ids})
    spec = KeySpec("id", "string" if pa.types.is_string(frame.ids.type) else "int")
    outcome = psi_job.run(TableSource(table), channel, replace(options, keys=(spec,)), progress=progress)
    if outcome.rows is None:
        raise ValueError("the intersection was not for this party: broadcast it")
    rows = outcome.rows.rows.astype(np.int64)
    counts = {
        "unique_keys": outcome.n_unique,
        "peer_unique_keys": outcome.n_peer_unique,
        "matched_keys": outcome.n_matched,
    }
    return rows, counts


def held_out(ids: pa.Array, share: float, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(rows to train on, rows held out), both ascending: by digests of the ids under the public seed, so that the same
    ids are held out in whatever order they stand."""
    kind: Literal["int", "string"] = "int" if pa.types.is_integer(ids.type) else "string"
    salt = f"crypsis/learning/held out/v1 {seed}".encode()
    words = row_digests([ids], [kind], salt=salt)[:, :8].copy().view("<u8").reshape(-1)
    order = np.argsort(words, kind="stable").astype(np.int64)
    n_held = round(len(ids) * share)
    return np.sort(order[n_held:]), np.sort(order[:n_held])


def check_labels(frame: Frame, labels: str, what: str = "the algorithm") -> None:
    """Labels that an algorithm, or a step, takes: "binary" 0 and 1, "classes" 0 to some largest class, "numbers" any.
    RefusedData otherwise."""
    if frame.labels is None or labels == "numbers" or not len(frame):
        return
    given = frame.labels
    if labels == "binary":
        wrong, due = np.flatnonzero((given != 0) & (given != 1)), "0 nor 1"
    else:
        wrong, due = np.flatnonzero((given < 0) | (given != np.floor(given))), "0 nor the number of a class"
    if len(wrong):
        raise RefusedData(
            f"{len(wrong)} labels are neither {due}, the first is {given[wrong[0]]:g} in row {wrong[0] + 1}, and"
            f" {what} takes no others; correct them, or choose another",
            public="its labels are not 0 and 1"
            if labels == "binary"
            else "its labels are not numbers of classes",
        )


def check_values(frame: Frame) -> None:
    """A value in every column. RefusedData naming those without."""
    lost = _named(frame, np.isnan(frame.values).all(axis=0))
    if lost:
        raise RefusedData(
            f"no row has a value in {lost}; leave out what is missing everywhere (features)",
            public="a column of its has no value in any row",
        )


def flat_columns(frame: Frame) -> list[str]:
    """Columns with one value, or none, in all rows: nothing can be learned from them."""
    found = []
    for i, name in enumerate(frame.names):
        present = frame.values[:, i][~np.isnan(frame.values[:, i])]
        holes = len(present) < len(frame)
        if not len(present) or (present.min() == present.max() and not (holes and name in frame.categories)):
            found.append(name)
    return found


def check_varied(frame: Frame) -> None:
    """More than one value in every column. RefusedData naming the others."""
    flat = flat_columns(frame)
    if flat:
        named = ", ".join(map(repr, flat[:10]))
        raise RefusedData(
            f"{named} has the same value in every row trained on, of which nothing is learned; leave it out"
            " (features, or the step select)",
            public="a column of its has the same value in every row",
        )


def _named(frame: Frame, which: Any) -> str:
    """The names of the columns of a mask, bool[columns], in quotes."""
    return ", ".join(repr(frame.names[i]) for i in np.flatnonzero(which)[:10])


def check_rows(train: Frame, labels: str) -> None:
    """Rows to train on, of more than one class. RefusedData otherwise."""
    if not len(train):
        raise RefusedData(
            "no rows are left to train on; are the ids of both parties of the same kind?",
            public="no rows are left to train on",
        )
    if train.labels is not None and labels != "numbers" and len(np.unique(train.labels)) < 2:
        raise RefusedData(
            f"all {len(train)} rows to train on have the label {train.labels[0]:g}: give rows of both classes",
            public="its labels are all the same",
        )


def check_complete(frame: Frame) -> None:
    """No value is missing. RefusedData naming the columns otherwise."""
    holes = _named(frame, np.isnan(frame.values).any(axis=0))
    if holes:
        raise RefusedData(
            f"values are missing in {holes}, which this algorithm cannot have: fill them, or train with a step in"
            " preprocess that does (impute or woe), or without these columns",
            public="values are missing in its columns, and no step of preprocess fills them",
        )
