# SPDX-License-Identifier: Apache-2.0
"""From a path, a glob, a directory or a list of them to a `Source`."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from typing import Final

from crypsis.errors import DataError
from crypsis.mpc.data.columnar_files import IpcSource, ParquetSource
from crypsis.mpc.data.csv_files import CsvOptions, CsvSource, plain_name
from crypsis.mpc.data.sources import Source

FORMATS: Final = ("csv", "parquet", "arrow")
SUFFIXES: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
PathLike = str | os.PathLike[str]


def format_of(path: str, requested: str = "auto") -> str:
    """Format named by `requested`, or by the suffix of `path` for "auto". Raises ValueError or DataError."""
    if requested in FORMATS:
        return requested
    if requested != "auto":
        raise ValueError(f"format must be auto, {', '.join(FORMATS)}, not {requested!r}")
    found = SUFFIXES.get(os.path.splitext(plain_name(path))[1])
    if found is None or (found != "csv" and plain_name(path) != path.lower()):
        raise DataError(
            f"{path}: the format cannot be told from the name; set its format to csv, parquet or arrow"
        )
    return found


def expand(path: PathLike | Sequence[PathLike]) -> list[str]:
    """The files that `path` means, in row-id order: a list in its order, a glob or a directory by name.

    A directory stands for the files directly in it that do not start with `.` or `_` (as `_SUCCESS` does).
    Raises DataError when there is none, or one is named twice.
    """
    if isinstance(path, (str, os.PathLike)):
        files = _expand_one(os.fspath(path))
    else:
        files = [file for item in path for file in _expand_one(os.fspath(item))]
    if not files:
        raise DataError("no input file was given; pass a path, a glob, or a list of them")
    seen: set[str] = set()
    for file in files:
        real = os.path.realpath(file)
        if real in seen:
            raise DataError(
                f"{file}: named twice among the input files, its rows would count twice; name it once"
            )
        seen.add(real)
    return files


def _expand_one(path: str) -> list[str]:
    if os.path.isdir(path):
        try:
            names = sorted(name for name in os.listdir(path) if not name.startswith((".", "_")))
        except PermissionError as error:
            raise DataError(f"{path}: permission denied; make it readable for this user") from error
        files = [file for name in names if os.path.isfile(file := os.path.join(path, name))]
        if not files:
            raise DataError(f"{path}: no data file in this directory")
        return files
    if not os.path.exists(path) and glob.has_magic(path):
        files = sorted(file for file in glob.glob(path, recursive=True) if os.path.isfile(file))
        if not files:
            raise DataError(f"{path}: no file matches; check the pattern")
        return files
    return [path]


def open_source(
    path: PathLike | Sequence[PathLike],
    *,
    format: str = "auto",
    columns: Sequence[str] | None = None,
    csv: CsvOptions | None = None,
) -> Source:
    """Opens files of one format and one schema as a `Source`; reads headers and footers only.

    path     a file, a directory, a glob, or a list of them (see `expand`); the order defines the row ids
    format   "csv", "parquet", "arrow" (file or stream, Feather v2), or "auto" by the suffix
    columns  limits the source to these columns, in this order
    csv      how to read CSV; a DataError for other formats

    Raises DataError or CorruptData naming the file, and the column or line where there is one.
    """
    files = expand(path)
    formats = [format_of(file, format) for file in files]
    for file, found in zip(files, formats, strict=True):
        if found != formats[0]:
            raise DataError(f"{file}: is {found} where {files[0]} is {formats[0]}; read one format at a time")
    if formats[0] == "csv":
        return CsvSource(files, columns, csv)
    if csv is not None:
        raise DataError(f"{files[0]}: is {formats[0]}, and CSV options were given for it; remove them")
    return ParquetSource(files, columns) if formats[0] == "parquet" else IpcSource(files, columns)
