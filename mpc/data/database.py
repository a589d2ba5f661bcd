# SPDX-License-Identifier: Apache-2.0
"""The result of a PostgreSQL query as a `Source`, by way of ADBC (`pip install "crypsis[postgres]"`).

A job reads its input twice, and the rows of a query come in another order each time. So the query runs once, in a
read-only transaction, and its result is spooled as Parquet, one record batch after the other; both passes read the
spool. It holds the rows in plain, with permission for its owner only. By default it has no name in its directory and is
gone with the process, however that ends; a job that may be resumed keeps it under a name, with a record beside it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from crypsis.errors import BackendUnavailable, CorruptData, DataError
from crypsis.mpc.data.columnar_files import ParquetSource
from crypsis.mpc.data.database_uri import DatabaseUri
from crypsis.mpc.data.postgres_types import check_key, check_names, spooled_batch, spooled_schema, type_names
from crypsis.mpc.data.sources import file_error, one_line

SPOOL: Final = "query.parquet"
RECORD: Final = "query.json"
PHASE: Final = "query the database"
_TITLE: Final = "the query's result"
_VERSION: Final = 1
_COMMENTS: Final = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_READS: Final = re.compile(r"\(|(?:select|with|values|table)\b", re.IGNORECASE)
_READ_ONLY: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# phase, rows done, rows in all (0: unknown)
Progress = Callable[[str, int, int], None]


class DatabaseSource(ParquetSource):
    """The spooled result of a query; `open_database` makes it.

    `query` and `place` (server and database, without credentials) are for reports. `close` gives the spool's disk space
    back if it has no name; the source cannot be read after it. A spool without a name is read through this process's
    descriptor: workers that are other processes need one with a name.
    """

    def __init__(self, path: str, *, query: str, place: str, types: dict[str, str], sha256: str) -> None:
        self.query = query
        self.place = place
        self._types = types
        self._sha256 = sha256
        self._release: Callable[[], object] = lambda: None
        super().__init__([path], None)

    @property
    def title(self) -> str:
        return _TITLE

    def key_batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        self.require_columns(columns)
        for column in columns:
            check_key(column, self._types.get(column, ""))
        return super().key_batches(columns)

    def digest(self) -> str:
        """SHA-256 of the spool in hexadecimal, taken while it was written or verified. Another run of the query gives
        another one."""
        for stamp in self._stamps:
            stamp.check()
        return self._sha256

    def locate(self, row: int) -> str:
        return f"{_TITLE}: row {row + 1}"

    def close(self) -> None:
        """Gives up a spool without a name. May be called twice."""
        self._release()


def open_database(
    query: str,
    uri: str,
    spool_directory: str | os.PathLike[str],
    *,
    reuse: bool = False,
    progress: Progress | None = None,
) -> DatabaseSource:
    """Runs `query` once and spools its result; the row ids are the order in which the rows arrived.

    query            one SELECT (or WITH, VALUES, TABLE) whose columns all have names
    uri              postgresql://user:password@host:port/database?sslmode=verify-full; what it lacks comes from libpq's
                     environment variables (PGUSER, PGPASSFILE, ...)
    spool_directory  an existing directory with room for the result
    reuse            keep the spool in the directory as `query.parquet` with the record `query.json`, and where they are
                     there already, verify and use them instead of asking the database again
    progress         called as progress("query the database", rows so far, 0)

    Raises DataError (one line, without the password) when the server cannot be reached or refuses the query, the
    connection is lost, the result has columns without a name or a plain type, the directory cannot be written or is
    full, or holds the spool of another query; CorruptData when a kept spool is damaged; BackendUnavailable when ADBC
    is not installed.
    """
    text = _checked(query)
    target = DatabaseUri.parse(uri)
    directory = os.fspath(spool_directory)
    if not os.path.isdir(directory):
        raise DataError(f"{directory}: the directory for the query's result does not exist; create it first")
    if reuse and os.path.lexists(os.path.join(directory, RECORD)):
        return _reused(directory, text, target.place)
    try:
        return (
            _kept(directory, text, target, progress)
            if reuse
            else _nameless(directory, text, target, progress)
        )
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise DataError(
                f"{directory}: no space left for the query's result ({error.strerror}); free some, or choose another "
                "directory"
            ) from error
        raise DataError(
            f"{directory}: the query's result cannot be stored: {error.strerror}; check the directory's permissions"
        ) from error


def _checked(query: str) -> str:
    """The query without what stands around it."""
    if not isinstance(query, str):
        raise TypeError(f"query must be a string, not {type(query).__name__}")
    text = query.strip("; \t\r\n")
    start = _COMMENTS.match(text)
    if not _READS.match(text, start.end() if start is not None else 0) or "\0" in text:
        raise DataError("the query is no SELECT; only SELECT, WITH, VALUES and TABLE can be an input")
    return text


def _nameless(directory: str, query: str, uri: DatabaseUri, progress: Progress | None) -> DatabaseSource:
    file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115 (closed by the source)
    try:
        spool = _Spool(file.fileno())
        types = _fetch(query, uri, spool, progress)
        source = DatabaseSource(
            f"/proc/self/fd/{file.fileno()}", query=query, place=uri.place, types=types, sha256=spool.sha256()
        )
    except BaseException:
        file.close()
        raise
    source._release = weakref.finalize(source, file.close)
    return source


def _kept(directory: str, query: str, uri: DatabaseUri, progress: Progress | None) -> DatabaseSource:
    path = os.path.join(directory, SPOOL)
    with _replacing(path) as fd:
        spool = _Spool(fd)
        types = _fetch(query, uri, spool, progress)
    record = {
        "version": _VERSION,
        "query": query,
        "database": uri.place,
        "types": types,
        "sha256": spool.sha256(),
    }
    with _replacing(os.path.join(directory, RECORD)) as fd:
        _Spool(fd).write(json.dumps(record, indent=2).encode() + b"\n")
    return DatabaseSource(path, query=query, place=uri.place, types=types, sha256=spool.sha256())


@contextlib.contextmanager
def _replacing(path: str) -> Iterator[int]:
    """A descriptor whose contents stand under `path` after the block, whole and on the disk, or not at all."""
    directory, name = os.path.split(path)
    partial = os.path.join(directory, f".{name}.partial")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(partial)  # of a process that was killed
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        yield fd
        os.fsync(fd)
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        raise
    finally:
        os.close(fd)
    folder = os.open(directory or os.curdir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _reused(directory: str, query: str, place: str) -> DatabaseSource:
    path, record_path = os.path.join(directory, SPOOL), os.path.join(directory, RECORD)
    anew = f"remove {record_path} to query anew"
    try:
        with open(record_path, encoding="utf-8") as file:
            record = json.load(file)
        if record["version"] != _VERSION:
            raise DataError(f"{record_path}: was written by another version of Crypsis; {anew}")
        found = (str(record["query"]), str(record["database"]))
        types = {str(name): str(kind) for name, kind in record["types"].items()}
        sha256 = str(record["sha256"])
    except OSError as error:
        raise file_error(record_path, error) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptData(f"{record_path}: is no record of a query's result, or damaged; {anew}") from error
    for what, here, there in zip(("query", "database"), (query, place), found, strict=True):
        if here != there:
            raise DataError(
                f"{record_path}: the result kept here is of another {what}; use another directory, or {anew}"
            )
    source = DatabaseSource(path, query=query, place=place, types=types, sha256=sha256)
    if ParquetSource.digest(source) != sha256:
        raise CorruptData(
            f"{path}: is not what the query gave: its SHA-256 differs from the record's; {anew}"
        )
    return source


class _Spool:
    """The part of a file object that pyarrow writes to: a descriptor, and the SHA-256 of what went to it."""

    closed = False

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._state = hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Writes all of `data`."""
        view = memoryview(data).cast("B")
        self._state.update(view)
        n_bytes = len(view)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            self.error = error
            raise
        return n_bytes

    def sha256(self) -> str:
        """In hexadecimal."""
        return self._state.hexdigest()

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """The descriptor is its owner's."""


def _fetch(query: str, uri: DatabaseUri, spool: _Spool, progress: Progress | None) -> dict[str, str]:
    """Writes the result to the spool as Parquet; returns PostgreSQL's name of each column's type."""
    driver, errors = _driver()
    try:
        connection = driver.connect(uri.text)
    except errors as error:
        # The driver's own text, chained, would show with --debug and may hold the password: `from None`.
        raise DataError(
            f"{uri.place}: {_told(error, uri)}; check the URI, user and password, and the server"
        ) from None
    with _closing(connection, errors), _closing(connection.cursor(), errors) as cursor:
        try:
            cursor.execute(_READ_ONLY)
            cursor.execute(query + "\n")  # the driver puts it in brackets, and it may end in a comment
            reader = cursor.fetch_record_batch()
        except errors as error:
            raise DataError(f"the query failed at {uri.place}: {_told(error, uri)}; correct it") from None
        check_names(reader.schema.names)
        schema, types = spooled_schema(reader.schema), type_names(reader.schema)
        n_rows = 0
        sink = pa.PythonFile(spool, mode="w")
        try:
            with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
                for batch in _received(reader, uri, lambda: _lost(connection, errors)):
                    writer.write_batch(spooled_batch(batch, schema))
                    n_rows += batch.num_rows
                    if progress is not None:
                        progress(PHASE, n_rows, 0)
        except (OSError, pa.ArrowException) as error:
            raise spool.error or error from None
    return types


def _received(
    reader: pa.RecordBatchReader, uri: DatabaseUri, lost: Callable[[], bool]
) -> Iterator[pa.RecordBatch]:
    n_rows = 0
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (OSError, pa.ArrowException) as error:
            told = _told(error, uri, values=False)
            # A server that ends a session may still say so, and libpq gives that out as it does an error of the query.
            if "PGRES_FATAL_ERROR" in str(error) and not lost():
                raise DataError(
                    f"the query failed at {uri.place} after {n_rows} rows: {told}; correct it"
                ) from None
            raise DataError(
                f"the connection to {uri.place} was lost after {n_rows} rows ({told}); run the job again"
            ) from None
        n_rows += batch.num_rows
        yield batch


def _driver() -> tuple[Any, type[Exception]]:
    """ADBC's driver for PostgreSQL and the base class of its errors."""
    try:
        import adbc_driver_manager
        import adbc_driver_postgresql.dbapi
    except ImportError as error:
        raise BackendUnavailable(
            'a query as input needs ADBC\'s driver for PostgreSQL: pip install "crypsis[postgres]"'
        ) from error
    return adbc_driver_postgresql.dbapi, adbc_driver_manager.Error


def _lost(connection: Any, errors: type[Exception]) -> bool:
    """After an error: whether the session is over, and not the query alone."""
    try:
        connection.rollback()
    except errors:
        return True
    return False


@contextlib.contextmanager
def _closing(thing: Any, errors: type[Exception]) -> Iterator[Any]:
    """Closes at the end; a connection that is broken says so when it is closed, which is no news by then."""
    try:
        yield thing
    finally:
        with contextlib.suppress(errors):
            thing.close()


def _told(error: BaseException, uri: DatabaseUri, *, values: bool = True) -> str:
    """The server's or libpq's reason in one line, without the password.

    Data errors (SQLSTATE class 22, and those in the middle of the result: `values` False) quote a value of the table,
    which is left out.
    """
    state = getattr(error, "sqlstate", None)
    text = one_line(error)
    for mark in ("could not begin COPY: ", "Failed to prepare query: ", "Failed to connect: ", "[libpq] "):
        text = text.rpartition(mark)[2]
    text = re.sub(r"^(?:.*: )?[A-Z]+:  ", "", text) if "failed: " not in text else text
    text = uri.without_secrets(text).strip().rstrip(".")
    if not values or (state or "").startswith("22"):
        text = re.sub(r"[\"«»„“”].*[\"«»„“”]", '"..."', text)
    return f"{text} (SQLSTATE {state})" if state else text
