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
from crypsis.mpc.data.parts import Part, below, matching
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


def expand(path: PathLike | Sequence[PathLike], format: str = "auto") -> list[Part]:
    """The files that `path` means, in row-id order: a list in its order, a glob or a directory by name.

    A directory stands for the files directly in it whose names do not start with `.` or `_` (as `_SUCCESS` does). For
    Parquet, it may have them in directories instead, at any depth (see `crypsis.mpc.data.parts`), and empty files are
    passed over. Raises DataError when there is none, or one is named twice.
    """
    if isinstance(path, (str, os.PathLike)):
        parts = _expand_one(os.fspath(path), format)
    else:
        parts = [part for item in path for part in _expand_one(os.fspath(item), format)]
    if not parts:
        raise DataError("no input file was given; pass a path, a glob, or a list of them")
    seen: set[str] = set()
    for part in parts:
        real = os.path.realpath(part.path)
        if real in seen:
            raise DataError(
                f"{part.path}: named twice among the input files, its rows would count twice; name it once"
            )
        seen.add(real)
    return parts


def _expand_one(path: str, format: str) -> list[Part]:
    if os.path.isdir(path):
        return _directory(path, format)
    if not os.path.exists(path) and glob.has_magic(path):
        parts = matching(path, lambda folder: [part.path for part in _directory(folder, format)])
        if not parts:
            raise DataError(f"{path}: no file matches; check the pattern")
        full = [part for part in parts if not (_is_parquet(part.path, format) and _is_empty(part.path))]
        if not full:
            raise DataError(f"{path}: every file that matches is empty; check that they were written")
        return full
    return [Part(path)]


def _is_parquet(path: str, format: str) -> bool:
    return format == "parquet" or (format == "auto" and SUFFIXES.get(os.path.splitext(path)[1]) == "parquet")


def _is_empty(path: str) -> bool:
    try:
        return os.path.getsize(path) == 0
    except OSError:
        return False  # opening it tells


def _directory(path: str, format: str) -> list[Part]:
    """The files directly in a directory, or all below it where they are Parquet and stand in directories."""
    try:
        names = sorted(name for name in os.listdir(path) if not name.startswith((".", "_")))
    except PermissionError as error:
        raise DataError(f"{path}: permission denied; make it readable for this user") from error
    files = [file for name in names if os.path.isfile(file := os.path.join(path, name))]
    if format in ("csv", "arrow") or (files and not any(_is_parquet(file, format) for file in files)):
        if not files:
            raise DataError(f"{path}: no data file in this directory")
        return [Part(file) for file in files]
    parts = below(path)
    nested = [part for part in parts if part.path not in files and _is_parquet(part.path, format)]
    if files and nested:
        raise DataError(
            f"{path}: has data files itself and in its directories, as {nested[0].path}; "
            f"say which are meant: {os.path.join(path, '*.parquet')}, or {os.path.join(path, '**', '*.parquet')}"
        )
    if files:
        # Files of another format beside Parquet are told about when they are opened.
        parts = [part for part in parts if part.path in files]
    if not parts:
        raise DataError(f"{path}: no data file in this directory")
    if not files and format == "auto" and not nested:
        raise DataError(
            f"{path}: no data file in this directory itself; for those in its directories, set the format to "
            f"parquet, or give a pattern such as {os.path.join(path, '**', '*.csv')}"
        )
    return parts


def open_source(
    path: PathLike | Sequence[PathLike],
    *,
    format: str = "auto",
    columns: Sequence[str] | None = None,
    csv: CsvOptions | None = None,
) -> Source:
    """Opens files of one format and one schema as a `Source`; reads headers and footers only.

    path     a file, a directory, a glob, or a list of them (see `expand`); the order defines the row ids.
             Directories named key=value below a Parquet directory, or matched by a glob, are columns of text
    format   "csv", "parquet", "arrow" (file or stream, Feather v2), or "auto" by the suffix
    columns  limits the source to these columns, in this order
    csv      how to read CSV; a DataError for other formats

    Raises DataError or CorruptData naming the file, and the column or line where there is one.
    """
    parts = expand(path, format)
    files = [part.path for part in parts]
    formats = [format_of(file, format) for file in files]
    for file, found in zip(files, formats, strict=True):
        if found != formats[0]:
            raise DataError(f"{file}: is {found} where {files[0]} is {formats[0]}; read one format at a time")
    if formats[0] == "csv":
        return CsvSource(files, columns, csv)
    if csv is not None:
        raise DataError(f"{files[0]}: is {formats[0]}, and CSV options were given for it; remove them")
    if formats[0] == "arrow":
        return IpcSource(files, columns)
    return ParquetSource(files, columns, partitions=[part.partition for part in parts])
