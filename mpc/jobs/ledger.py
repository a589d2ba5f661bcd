# SPDX-License-Identifier: Apache-2.0
"""What a job has done so far, in a SQLite file in its work directory: after a kill or a power loss the same command
goes on from there.

    ledger = Ledger.begin(work, identity)           # a new job
    ledger = Ledger.open(work); ledger.check(identity)      # after an end of any kind; same input, same configuration

    stages   new -> partitioned -> exchanged -> written -> complete
    bins     (none) -> started -> finished, once; `redo` reopens one explicitly

A change is on the disk when its method returns (synchronous = FULL on a write-ahead log). The file is made under
another name and renamed, so that one that is there is whole; each row carries a checksum of its own, because SQLite
finds damage to its pages' structure only.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final, Literal, get_args

from crypsis.errors import CorruptData, DataError
from crypsis.mpc.jobs.identity import Identity, compare
from crypsis.mpc.jobs.workdir import LEDGER_FILE, LEDGER_VERSION, WorkDir, sync_directory

Stage = Literal["new", "partitioned", "exchanged", "written", "complete"]
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)

_APPLICATION_ID: Final = 0x43525950  # "CRYP": what `file` and SQLite itself tell of it
_SCHEMA: Final = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL, seal BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE spills (bin INTEGER PRIMARY KEY, name TEXT NOT NULL, n_records INTEGER NOT NULL, n_bytes INTEGER NOT NULL,
                     sha256 TEXT NOT NULL, seal BLOB NOT NULL);
CREATE TABLE bins (bin INTEGER PRIMARY KEY, state TEXT NOT NULL, attempts INTEGER NOT NULL, finishes INTEGER NOT NULL,
                   result TEXT NOT NULL, seal BLOB NOT NULL);
"""
# Facts of the ledger's own; callers' keys have no such prefix.
_IDENTITY, _CREATED, _RELEASE, _STAGE, _N_BINS = (
    "ledger.identity",
    "ledger.created",
    "ledger.release",
    "ledger.stage",
    "ledger.n_bins",
)


@dataclass(frozen=True, kw_only=True)
class Spill:
    """A spilled bin: its file (`name`, relative to the work directory), records and bytes in it, their SHA-256."""

    bin: int
    name: str
    n_records: int
    n_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished bin: one's own distinct keys, those that matched, rows written, and the file that holds them (`name`
    is empty for a party that learns nothing)."""

    bin: int
    name: str
    n_unique: int
    n_matched: int
    n_rows: int
    n_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class BinState:
    """How often a bin was begun and how often it was finished (more than once only after `redo`)."""

    bin: int
    state: Literal["started", "finished"]
    attempts: int
    finishes: int


class Ledger:
    """The open ledger of a work directory. Its methods may be called from any thread, one at a time."""

    def __init__(self, work: WorkDir, connection: sqlite3.Connection) -> None:
        self._work = work
        self.path = work.file(LEDGER_FILE)
        self._connection = connection
        self._lock = threading.RLock()
        self._depth = 0

    @staticmethod
    def exists(work: WorkDir) -> bool:
        """A job was begun in the directory."""
        return os.path.lexists(work.file(LEDGER_FILE))

    @classmethod
    def begin(cls, work: WorkDir, identity: Identity) -> Ledger:
        """Writes down a new job, at stage "new". ValueError where one was begun in the directory already."""
        path = work.file(LEDGER_FILE)
        if cls.exists(work):
            raise ValueError(f"{path}: a job was begun here; open it, or clear the work directory")
        unborn = path + ".partial"
        with _told(path):
            for old in (unborn, path + "-wal", path + "-shm", unborn + "-journal"):
                with suppress(FileNotFoundError):
                    os.unlink(old)
            os.close(os.open(unborn, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(unborn, isolation_level=None)
            try:
                connection.executescript(
                    f"PRAGMA synchronous=FULL; PRAGMA application_id={_APPLICATION_ID}; "
                    f"PRAGMA user_version={LEDGER_VERSION}; BEGIN; {_SCHEMA}"
                )
                created = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
                for key, value in (
                    (_IDENTITY, identity.as_json()),
                    (_CREATED, created),
                    (_RELEASE, version("crypsis")),
                    (_STAGE, "new"),
                    (_N_BINS, None),
                ):
                    text = json.dumps(value)
                    connection.execute("INSERT INTO facts VALUES (?, ?, ?)", (key, text, _seal(key, text)))
                connection.execute("COMMIT")
            finally:
                connection.close()
            os.rename(unborn, path)
            sync_directory(work.path)
        return cls.open(work)

    @classmethod
    def open(cls, work: WorkDir) -> Ledger:
        """Opens what `begin` made and verifies all of it. Raises CorruptData for damage and DataError for a ledger of
        another version, naming the file."""
        path = work.file(LEDGER_FILE)
        if not os.path.isfile(path):
            raise DataError(f"{path}: is missing; no job was begun in this work directory")
        if os.path.getsize(path) == 0:  # SQLite would take it for a new one
            raise _corrupt(path, "the file is empty")
        with _told(path):
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        try:
            with _told(path):
                connection.execute("PRAGMA locking_mode=EXCLUSIVE")
                connection.execute("PRAGMA synchronous=FULL")
                _check_version(path, connection)
                connection.execute("PRAGMA journal_mode=WAL")
                _check_integrity(path, connection)
            ledger = cls(work, connection)
            ledger._check_rows()
        except BaseException:
            connection.close()
            raise
        return ledger

    def close(self) -> None:
        """Folds the log into the file and closes it."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written inside is on the disk together at its end, or not at all. Nests."""
        with self._lock:
            if self._depth == 0:
                self._rows("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                if self._depth == 1:
                    self._rows("COMMIT")
            except BaseException:
                if self._depth == 1 and self._connection.in_transaction:
                    self._rows("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    # What the job is

    @property
    def identity(self) -> Identity:
        """Of the job as it was begun."""
        try:
            return Identity.of_json(self._fact(_IDENTITY))
        except (KeyError, TypeError, ValueError) as error:
            raise _corrupt(self.path, "the job's identity is not in order") from error

    @property
    def created(self) -> str:
        """When the job was begun: UTC, ISO 8601."""
        return str(self._fact(_CREATED))

    def name_job(self, job: bytes) -> None:
        """Writes down the bytes that both parties have agreed to know the job by; ValueError where it has others."""
        with self.transaction():
            now = self.identity
            if now.job not in (b"", job):
                raise ValueError(f"the job is {now.job.hex()[:16]} already: not {job.hex()[:16]}")
            self._set_fact(_IDENTITY, replace(now, job=job).as_json())

    def check(self, expected: Identity) -> None:
        """Raises ConfigError or DataError, naming the first thing that is not as when the job was begun."""
        compare(self.identity, expected, where=self._work.path, since=self.created)

    # How far it is

    @property
    def stage(self) -> Stage:
        """The last stage that was reached."""
        found = self._fact(_STAGE)
        if found not in STAGES:
            raise _corrupt(self.path, f"the stage is {found!r}")
        return found  # type: ignore[no-any-return]

    def advance(self, stage: Stage) -> None:
        """Goes on to a later stage (the same one again changes nothing); ValueError for an earlier one."""
        with self.transaction():
            now = self.stage
            if STAGES.index(stage) < STAGES.index(now):
                raise ValueError(f"the job is at stage {now!r}: it does not go back to {stage!r}")
            if stage not in ("new", "partitioned") and self.n_bins is None:
                raise ValueError(f"stage {stage!r} comes after the bins are written down: call partitioned")
            if stage in STAGES[2:] and (left := self.todo()):
                raise ValueError(
                    f"{len(left)} bins are not finished, the first is {left[0]}: not {stage!r} yet"
                )
            self._set_fact(_STAGE, stage)

    @property
    def n_bins(self) -> int | None:
        """Bins of the job; None until they are written down."""
        value: int | None = self._fact(_N_BINS)
        return value

    def partitioned(self, spills: Iterable[Spill]) -> None:
        """Writes down all spilled bins, numbered 0..n-1, and goes to stage "partitioned", in one step."""
        rows = sorted(spills, key=lambda spill: spill.bin)
        if [row.bin for row in rows] != list(range(len(rows))):
            raise ValueError("spills must be those of bins 0 to n - 1, each once")
        with self.transaction():
            if self.stage != "new":
                raise ValueError(f"the bins are written down already: the job is at stage {self.stage!r}")
            for row in rows:
                values = (row.bin, row.name, row.n_records, row.n_bytes, row.sha256)
                self._rows("INSERT INTO spills VALUES (?, ?, ?, ?, ?, ?)", (*values, _seal(*values)))
            self._set_fact(_N_BINS, len(rows))
            self._set_fact(_STAGE, "partitioned")

    def spills(self) -> list[Spill]:
        """All spilled bins, in order."""
        return [
            Spill(bin=b, name=n, n_records=r, n_bytes=s, sha256=d)
            for b, n, r, s, d in self._rows(
                "SELECT bin, name, n_records, n_bytes, sha256 FROM spills ORDER BY bin"
            )
        ]

    # Bins

    def start(self, bin: int) -> int:
        """Counts an attempt at a bin; returns how many there were. ValueError for a finished one (see `redo`)."""
        with self.transaction():
            self._check_bin(bin)
            found = self._bin(bin)
            if found is not None and found.state == "finished":
                raise ValueError(f"bin {bin} is finished; redo({bin}) opens it again")
            attempts = 1 if found is None else found.attempts + 1
            self._put_bin(bin, "started", attempts, 0 if found is None else found.finishes, None)
            return attempts

    def finish(self, result: Result) -> None:
        """Writes a bin's result down; its file must be on the disk by now. ValueError for a bin not started."""
        with self.transaction():
            self._check_bin(result.bin)
            found = self._bin(result.bin)
            if found is None or found.state != "started":
                state = "not started" if found is None else found.state
                raise ValueError(f"bin {result.bin} is {state}: only a started bin can be finished")
            self._put_bin(result.bin, "finished", found.attempts, found.finishes + 1, result)

    def redo(self, bin: int) -> None:
        """Opens a finished bin again, as one that was never begun but for its counts."""
        with self.transaction():
            self._check_bin(bin)
            found = self._bin(bin)
            if found is None or found.state != "finished":
                raise ValueError(f"bin {bin} is not finished: there is nothing to do again")
            self._put_bin(bin, "started", found.attempts, found.finishes, None)

    def todo(self) -> list[int]:
        """Bins that are not finished, ascending."""
        done = {bin for (bin,) in self._rows("SELECT bin FROM bins WHERE state = 'finished'")}
        return [bin for bin in range(self.n_bins or 0) if bin not in done]

    def bins(self) -> list[BinState]:
        """All bins that were ever started, in order."""
        return [
            BinState(bin=b, state=s, attempts=a, finishes=f)
            for b, s, a, f in self._rows("SELECT bin, state, attempts, finishes FROM bins ORDER BY bin")
        ]

    def results(self) -> list[Result]:
        """Results of the finished bins, in order of the bins."""
        rows = self._rows("SELECT bin, result FROM bins WHERE state = 'finished' ORDER BY bin")
        return [Result(bin=bin, **json.loads(text)) for bin, text in rows]

    # Facts

    def fact(self, key: str, default: Any = None) -> Any:
        """The JSON value under `key`."""
        return self._fact(_own_key(key), default)

    def set_fact(self, key: str, value: Any) -> None:
        """Writes down a JSON value under `key`, in place of an earlier one."""
        with self.transaction():
            self._set_fact(_own_key(key), value)

    # Rows

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._lock, _told(self.path):
            return self._connection.execute(query, tuple(values)).fetchall()

    def _fact(self, key: str, default: Any = None) -> Any:
        found = self._rows("SELECT value FROM facts WHERE key = ?", (key,))
        return json.loads(found[0][0]) if found else default

    def _set_fact(self, key: str, value: Any) -> None:
        text = json.dumps(value)
        self._rows("REPLACE INTO facts VALUES (?, ?, ?)", (key, text, _seal(key, text)))

    def _bin(self, bin: int) -> BinState | None:
        found = self._rows("SELECT bin, state, attempts, finishes FROM bins WHERE bin = ?", (bin,))
        if not found:
            return None
        b, state, attempts, finishes = found[0]
        return BinState(bin=b, state=state, attempts=attempts, finishes=finishes)

    def _put_bin(self, bin: int, state: str, attempts: int, finishes: int, result: Result | None) -> None:
        fields = {} if result is None else asdict(result)
        fields.pop("bin", None)
        values = (bin, state, attempts, finishes, json.dumps(fields))
        self._rows("REPLACE INTO bins VALUES (?, ?, ?, ?, ?, ?)", (*values, _seal(*values)))

    def _check_bin(self, bin: int) -> None:
        n_bins = self.n_bins
        if n_bins is None:
            raise ValueError("the bins are not written down yet: call partitioned first")
        if type(bin) is not int or not 0 <= bin < n_bins:
            raise ValueError(f"bin is {bin!r}: the job has bins 0 to {n_bins - 1}")

    def _check_rows(self) -> None:
        """Every row against its checksum, and the rows against each other."""
        for table in ("facts", "spills", "bins"):
            for *values, seal in self._rows(f"SELECT * FROM {table}"):  # noqa: S608 - our own names
                if seal != _seal(*values):
                    raise _corrupt(self.path, f"a row of {table} does not match its checksum")
        n_bins = self.n_bins
        if len(self.spills()) != (n_bins or 0):
            raise _corrupt(self.path, f"{len(self.spills())} of {n_bins} spilled bins are written down")
        if any(row.bin >= (n_bins or 0) for row in self.bins()) or self.stage not in STAGES:
            raise _corrupt(self.path, "a bin is out of range")
        _ = self.identity


def _own_key(key: str) -> str:
    if not key or key.startswith("ledger."):
        raise ValueError(f"key is {key!r}: give a text that does not begin with 'ledger.'")
    return key


def _seal(*values: object) -> bytes:
    return hashlib.blake2b(json.dumps(values).encode(), digest_size=8, person=b"crypsis/ledger/1").digest()


def _check_version(path: str, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION_ID:
        raise _corrupt(path, "it is not a ledger of Crypsis")
    if found != LEDGER_VERSION:
        raise DataError(
            f"{path}: is a ledger of version {found}, this release of crypsis knows version {LEDGER_VERSION}; end the "
            "job with the release that began it, or name another work_dir"
        )


def _check_integrity(path: str, connection: sqlite3.Connection) -> None:
    told = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
    if told != ["ok"]:
        raise _corrupt(path, "; ".join(told)[:200])


def _corrupt(path: str, what: str) -> CorruptData:
    return CorruptData(
        f"{path}: the ledger is damaged ({' '.join(what.split())}); remove the work directory at both parties and "
        "start the job again"
    )


@contextmanager
def _told(path: str) -> Iterator[None]:
    """SQLite's errors and the system's in our own words."""
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "locked" in text:
            raise DataError(f"{path}: another process has it open; wait for its end") from error
        if "no such table" in text or "no such column" in text or "has no column" in text:
            raise _corrupt(path, text) from error
        raise DataError(
            f"{path}: the ledger cannot be used: {text}; check the disk, then run the same command again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise _corrupt(path, str(error)) from error
    except OSError as error:
        raise DataError(f"{path}: the ledger cannot be used: {error.strerror}; check the disk") from error
