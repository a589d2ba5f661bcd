# SPDX-License-Identifier: Apache-2.0
"""Canonical bytes of key columns: equal values give equal bytes at both parties, whatever their files' types.

    type      bytes of one value
    string    its text in UTF-8, byte for byte as stored (no Unicode normalisation, no trimming);
              an integer as minimal decimal (`-12`), a date as `YYYY-MM-DD`
    int       eight bytes, two's complement, little-endian
    bytes     the bytes as stored; text as its UTF-8
    date      eight bytes, two's complement, little-endian: days since 1970-01-01

Everything is done on whole columns. Errors name the row, never the value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crypsis.errors import DataError

KeyType = Literal["string", "int", "bytes", "date"]
KEY_TYPES: Final = get_args(KeyType)

_INTEGER: Final = r"^[+-]?[0-9]+$"
_DATE: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_BINARY: Final = (pa.binary(), pa.large_binary())
_TEXT: Final = (pa.string(), pa.large_string())


class BadValue(Exception):
    """One value does not fit the key type: `row` is its index in the column, `what` says why."""

    def __init__(self, row: int, what: str) -> None:
        super().__init__(what)
        self.row = row
        self.what = what


def check_key_type(data_type: pa.DataType, key_type: KeyType, column: str) -> None:
    """Raises DataError when a column of `data_type` cannot be a key of `key_type`, saying what to do."""
    remedy = _refusal(data_type, key_type)
    if remedy is not None:
        raise DataError(f"key column {column!r} of type {data_type} cannot be a {key_type!r} key: {remedy}")


def _refusal(t: pa.DataType, key_type: KeyType) -> str | None:
    text_or_bytes = t in _TEXT or t in _BINARY or pa.types.is_fixed_size_binary(t)
    integral = pa.types.is_integer(t) or (pa.types.is_decimal(t) and t.scale == 0)
    if pa.types.is_null(t):  # every row is NULL, so there is nothing to encode
        return None
    if pa.types.is_floating(t):
        return "floats have no exact text; store it as an integer or as text"
    if pa.types.is_boolean(t):
        return "a boolean identifies nobody; store it as text or as an integer"
    if pa.types.is_decimal(t) and not integral:
        return "decimals with a fraction have several texts; store it as text"
    if pa.types.is_timestamp(t) or pa.types.is_time(t):
        return "times depend on unit and zone; store it as text, or as a date"
    allowed = {
        "string": text_or_bytes or integral or pa.types.is_date(t),
        "int": t in _TEXT or integral,
        "bytes": text_or_bytes,
        "date": t in _TEXT or pa.types.is_date(t),
    }[key_type]
    return None if allowed else "choose the key type that both parties' columns can have, or store it as text"


def encode(column: pa.Array, key_type: KeyType) -> Any:
    """Canonical bytes of a column without NULLs whose type `check_key_type` has accepted.

    Returns a string or binary array (types string, bytes) or uint8[n, 8] (types int, date), ready for
    hashing. Raises BadValue for the first value that does not fit.
    """
    if key_type == "int":
        return _eight_bytes(_integers(column))
    if key_type == "date":
        return _eight_bytes(_dates(column).cast(pa.int32()))
    if column.type in _TEXT or (key_type == "bytes" and column.type in _BINARY):
        return column
    if pa.types.is_fixed_size_binary(column.type):
        column = column.cast(pa.binary())
    if key_type == "bytes":
        return column
    if column.type in _BINARY:
        text = pa.string() if column.type == pa.binary() else pa.large_string()
        return _cast(column, text, "is not UTF-8 text; use key type 'bytes'")
    if pa.types.is_date(column.type):
        return _dates(column).cast(pa.string())
    return column.cast(pa.string())


def _eight_bytes(integers: pa.Array) -> npt.NDArray[np.uint8]:
    values = integers.to_numpy(zero_copy_only=False).astype("<i8", copy=False)
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), 8)


def _integers(column: pa.Array) -> pa.Array:
    """int64. Text: an optional sign and decimal digits, leading zeros allowed, nothing else."""
    too_big = "is outside the 64-bit integers; use key type 'string'"
    if column.type not in _TEXT:
        return _cast(column, pa.int64(), too_big)
    _require(
        pc.match_substring_regex(column, _INTEGER),
        "is not an integer (an optional sign and digits, no spaces); use key type 'string'",
    )
    if pc.any(pc.starts_with(column, "+")).as_py():
        column = pc.replace_substring_regex(column, r"^\+", "")
    return _cast(column, pa.int64(), too_big)


def _dates(column: pa.Array) -> pa.Array:
    if column.type not in _TEXT:
        return _cast(column, pa.date32(), "is not a whole day")
    wrong = "is not a date written YYYY-MM-DD"
    _require(pc.match_substring_regex(column, _DATE), wrong)
    return _cast(column, pa.date32(), wrong)


def _require(fits: pa.BooleanArray, what: str) -> None:
    if not pc.all(fits).as_py():
        raise BadValue(pc.index(fits, False).as_py(), what)


def _cast(column: pa.Array, data_type: pa.DataType, what: str) -> pa.Array:
    def cast(part: pa.Array) -> pa.Array:
        return part.cast(data_type)

    try:
        return cast(column)
    except pa.ArrowInvalid as error:
        raise BadValue(_first_failure(column, cast), what) from error


def _first_failure(column: pa.Array, function: Callable[[pa.Array], pa.Array]) -> int:
    """Index of the first value on which `function` raises ArrowInvalid, by bisection; one must."""
    low, high = 0, len(column)  # the first failure is in [low, high)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            function(column.slice(low, middle - low))
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low
