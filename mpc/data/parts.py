# SPDX-License-Identifier: Apache-2.0
"""Directories as warehouses write them (Spark, Hive, Trino, Delta Lake): which files in them are data, in which order,
and what the names of the directories say about the rows.

    customers/                       the table
      _SUCCESS  _committed_77        markers, no data: names that start with `_` or `.` are passed over
      country=de/day=2026-07-01/     directories named key=value: two columns, `country` and `day`, of text
        part-00000.snappy.parquet
        .part-00000.snappy.parquet.crc

Values are percent-decoded as Hive encodes them; `__HIVE_DEFAULT_PARTITION__` is NULL. The order is that of the paths as
text, so it does not depend on the file system.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from crypsis.errors import DataError
from crypsis.mpc.data.sources import file_error

HIVE_NULL: Final = "__HIVE_DEFAULT_PARTITION__"
_HIDDEN: Final = (".", "_")
_DELTA_LOG: Final = "_delta_log"

# Column and value of each key=value directory, from the outer to the inner.
Partition = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Part:
    """A data file, and the columns that its directories give it."""

    path: str
    partition: Partition = ()


def partition_of(folders: Sequence[str], path: str) -> Partition:
    """The columns in `folders`, names of directories from the outer to the inner; `path` is for messages.

    Raises DataError for a column that occurs twice and for a name that is not UTF-8.
    """
    found: dict[str, str | None] = {}
    for folder in folders:
        key, equals, value = folder.partition("=")
        if not (key and equals):
            continue
        try:
            name, text = unquote(key, errors="strict"), unquote(value, errors="strict")
            text.encode()
            name.encode()
        except UnicodeError as error:
            raise DataError(f"{path!r}: the directory {folder!r} is not UTF-8; rename it") from error
        if name in found:
            raise DataError(f"{path}: two directories name the column {name!r}; rename one of them")
        found[name] = None if text == HIVE_NULL else text
    return tuple(found.items())


def below(root: str) -> list[Part]:
    """The data files in `root` and in its directories at any depth, in the order of their paths.

    Hidden names and empty files are passed over, and what a Delta log has removed. Raises DataError for a directory
    that cannot be read, that contains itself through a link, or whose rows are not simply those of its files.
    """
    inside = os.path.join(root, "")
    paths = sorted(_walk(root, (os.path.realpath(root),)))
    return current(
        [
            Part(path, partition_of(os.path.dirname(path.removeprefix(inside)).split(os.sep), path))
            for path in paths
        ]
    )


def matching(pattern: str, expand: Callable[[str], list[str]]) -> list[Part]:
    """What `pattern` matches: its files, or where it matches directories only, what `expand` finds in each.

    The columns come from the directories at and below the pattern's first wildcard.
    """
    pattern = re.sub(f"{re.escape(os.sep)}+", os.sep, pattern)
    n_fixed = next(i for i, component in enumerate(_components(pattern)) if glob.has_magic(component))
    found = [path for path in glob.glob(pattern, recursive=True) if not _passed_over(path, pattern, n_fixed)]
    files = [path for path in found if os.path.isfile(path)]
    if not files:
        files = [file for folder in found if os.path.isdir(folder) for file in expand(folder)]
    return current([Part(path, partition_of(_components(path)[n_fixed:-1], path)) for path in sorted(files)])


def _components(path: str) -> list[str]:
    return path.split(os.sep)


def _passed_over(path: str, pattern: str, n_fixed: int) -> bool:
    """Whether a match lies in a hidden directory, or is a marker, that the pattern does not ask for by name."""
    asked = {component[:1] for component in _components(pattern)[n_fixed:]}
    *folders, name = _components(path)[n_fixed:]
    if any(folder.startswith(_HIDDEN) and folder[0] not in asked for folder in folders):
        return True
    # `*.csv` has always matched `_x.csv`: only names without a suffix (`_SUCCESS`, `_committed_77`), and directories,
    # are taken for a warehouse's own.
    marker = "." not in name or os.path.isdir(path)
    return bool(name) and name.startswith(_HIDDEN) and marker and name[0] not in asked


def _walk(folder: str, above: tuple[str, ...]) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if not entry.name.startswith(_HIDDEN)]
        for entry in found:
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real in above:
                    raise DataError(f"{entry.path}: links to a directory that contains it; remove the link")
                yield from _walk(entry.path, (*above, real))
            elif entry.stat().st_size and entry.is_file():  # stat: a link that leads nowhere is an error
                yield entry.path
    except OSError as error:
        raise file_error(folder, error) from error


def current(parts: list[Part]) -> list[Part]:
    """`parts` without those that are in a Delta table and not listed by its log: it keeps files of deleted rows.

    Raises DataError where a log cannot be followed, and for a Hudi table.
    """
    folders: set[str] = set()
    for part in parts:
        folder = os.path.dirname(os.path.abspath(part.path))
        while folder not in folders:
            folders.add(folder)
            folder = os.path.dirname(folder)
    for folder in sorted(folders):
        if os.path.isdir(os.path.join(folder, ".hoodie")):
            raise DataError(
                f"{folder}: is a Hudi table, whose directory also holds older versions of its rows; "
                "write a snapshot as plain Parquet and read that"
            )
        live = _delta_files(folder) if os.path.isdir(os.path.join(folder, _DELTA_LOG)) else None
        if live is not None:
            inside = os.path.join(folder, "")
            absolute = [os.path.abspath(part.path) for part in parts]
            parts = [
                part
                for part, path in zip(parts, absolute, strict=True)
                if not path.startswith(inside) or path in live
            ]
    return parts


def _delta_files(table: str) -> set[str] | None:
    """Paths of the files that the newest version of a Delta table consists of; None for a log without versions."""
    log = os.path.join(table, _DELTA_LOG)
    copy = "write a copy as plain Parquet and read that"
    live: set[str] = set()
    try:
        names = os.listdir(log)
        versions = sorted(name for name in names if name.endswith(".json") and name[:-5].isdigit())
        gaps = [int(name[:-5]) for name in versions] != list(range(len(versions)))
        if gaps or (not versions and any("checkpoint" in name for name in names)):
            raise DataError(f"{log}: the log's first versions are not there any more (checkpoint); {copy}")
        for name in versions:
            with open(os.path.join(log, name), encoding="utf-8") as file:
                for line in file:
                    _apply(json.loads(line) if line.strip() else {}, table, live)
    except OSError as error:
        raise file_error(log, error) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{log}: cannot be followed as the log of a Delta table; {copy}") from error
    return live if versions else None


def _apply(action: dict[str, dict[str, object]], table: str, live: set[str]) -> None:
    """One line of a Delta log: a file added, a file removed, or something that does not change the files."""
    for kind in ("add", "remove"):
        if kind in action:
            name = unquote(str(action[kind]["path"]), errors="strict")
            path = os.path.normpath(os.path.join(table, name))
            if kind == "remove":
                live.discard(path)
                continue
            if action[kind].get("deletionVector"):
                raise DataError(
                    f"{path}: some of its rows are deleted by a deletion vector of the Delta table; "
                    "write a copy as plain Parquet and read that"
                )
            live.add(path)
