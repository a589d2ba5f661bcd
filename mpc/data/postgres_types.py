# SPDX-License-Identifier: Apache-2.0
"""What PostgreSQL's types become in a spooled query result: plain Arrow types that Parquet holds.

int2, int4, int8, text, varchar, bytea, date, bool, float4, float8, timestamp, arrays    as ADBC gives them
uuid                          text as PostgreSQL writes it: 36 characters, lower case
numeric, json, jsonb          text as PostgreSQL writes it
inet, interval, xml, ...      refused: cast to text in the query
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa

from crypsis.errors import DataError

_TYPE_NAMES: Final = (b"POSTGRESQL:type", b"ADBC:postgresql:typname")
_AS_TEXT: Final = ("numeric", "json", "jsonb")
# Types of which one value has several texts, or whose Arrow form is not what people see.
_NO_KEYS: Final = {
    "numeric": "one value has several texts (1.0, 1.00): write {0}::bigint AS {0}, or {0}::text AS {0}",
    "json": "one value has several texts: write {0} ->> 'id' AS {0} for the field that identifies",
    "jsonb": "its text depends on the server: write {0} ->> 'id' AS {0} for the field that identifies",
    "bpchar": "char(n) is padded with blanks: write {0}::text AS {0}",
    "money": "it depends on the server's locale: write {0}::numeric::bigint AS {0}",
    "oid": "it is a number of the server's own: write {0}::bigint AS {0}",
}
_UUID_BYTES: Final = 16
_HEX: Final = np.frombuffer(b"0123456789abcdef", np.uint8)
# Places of the 32 digits among the 36 characters.
_DIGITS: Final = np.array([i for i in range(36) if i not in (8, 13, 18, 23)])


def type_names(schema: pa.Schema) -> dict[str, str]:
    """PostgreSQL's name of each column's type ("" where the driver does not tell)."""
    found = {}
    for field in schema:
        metadata = field.metadata or {}
        found[field.name] = next((metadata[key].decode() for key in _TYPE_NAMES if key in metadata), "")
    return found


def check_names(names: list[str]) -> None:
    """Raises DataError unless every column has a name of its own."""
    if not names:
        raise DataError("the query returns no columns; write a SELECT that names them")
    for position, name in enumerate(names, 1):
        if name in ("", "?column?"):
            raise DataError(f"column {position} of the query has no name; write `... AS name`")
        if names.count(name) > 1:
            raise DataError(
                f"the query returns {names.count(name)} columns named {name!r}; give each a name of its own with AS"
            )


def check_key(column: str, type_name: str) -> None:
    """Raises DataError for a column whose values cannot be compared with another party's as they are."""
    if type_name in _NO_KEYS:
        raise DataError(
            f"key column {column!r} is {type_name} in PostgreSQL, and {_NO_KEYS[type_name].format(column)} in the query"
        )


def spooled_schema(schema: pa.Schema) -> pa.Schema:
    """The plain types. Raises DataError naming a column that has none."""
    return pa.schema(
        [pa.field(field.name, _plain(field.name, name, field.type)) for field, name in _named(schema)]
    )


def spooled_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """`batch` as the driver gives it, in the types of `spooled_schema`."""
    columns = []
    for column, field in zip(batch.columns, schema, strict=True):
        if isinstance(column, pa.ExtensionArray):
            column = column.storage
        if pa.types.is_fixed_size_binary(column.type) and pa.types.is_string(field.type):
            column = _uuid_text(column)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _named(schema: pa.Schema) -> list[tuple[pa.Field, str]]:
    return [(field, name) for field, name in zip(schema, type_names(schema).values(), strict=True)]


def _plain(column: str, type_name: str, data_type: Any) -> pa.DataType:
    storage = data_type.storage_type if isinstance(data_type, pa.BaseExtensionType) else data_type
    if type_name == "uuid" and storage == pa.binary(_UUID_BYTES):
        return pa.string()
    if storage is data_type and not pa.types.is_interval(storage):
        return storage
    if type_name in _AS_TEXT and storage == pa.string():
        return storage
    raise DataError(
        f"column {column!r} is {type_name or data_type} in PostgreSQL, which has no plain form here; "
        f"write {column}::text AS {column} in the query, or leave it out"
    )


def _uuid_text(column: pa.Array) -> pa.Array:
    """string[n] of fixed_size_binary(16)[n]."""
    n_rows = len(column)
    data = np.frombuffer(column.buffers()[1], np.uint8).reshape(-1, _UUID_BYTES)
    data = data[column.offset : column.offset + n_rows]
    text = np.full((n_rows, 36), ord("-"), np.uint8)
    text[:, _DIGITS[0::2]] = _HEX[data >> 4]
    text[:, _DIGITS[1::2]] = _HEX[data & 15]
    offsets = np.arange(n_rows + 1, dtype=np.int64) * 36
    whole = pa.LargeStringArray.from_buffers(n_rows, pa.py_buffer(offsets), pa.py_buffer(text)).cast(
        pa.string()
    )
    if not column.null_count:
        return whole
    return pa.compute.if_else(column.is_valid(), whole, pa.scalar(None, pa.string()))
