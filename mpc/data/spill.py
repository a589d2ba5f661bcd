# SPDX-License-Identifier: Apache-2.0
"""Key records on disk, one file per outer bin, so that a party needs memory for one bin and not for its table.

A record has 16 bytes: the first 12 of a row's digest, then its row id in 4, little-endian. `BinWriter` collects blocks
of a digest stream, groups them by bin (`crypsis.partition.records`) and appends each bin's piece to its file; the
records of a bin are in the order of the rows. The files get their names when all of them are complete and on the disk,
and are read back only if length and SHA-256 are those that were written.

Files are readable by their owner only: whoever can list all ids can recognise them in the digests.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from crypsis import partition
from crypsis.errors import CorruptData, DataError
from crypsis.mpc.data.grouping import DIGEST_BYTES
from crypsis.mpc.data.storage import no_space, sync

RECORD_BYTES: Final = 16
MAX_BINS: Final = 4096
MEMORY_BYTES: Final = 128 << 20

_LIMIT_ROWS: Final = (1 << 32) - 1
_ROW_BYTES: Final = DIGEST_BYTES + 4 + RECORD_BYTES  # a row as collected, and as grouped
_MIN_MEMORY: Final = 1 << 16
_READ_BYTES: Final = 1 << 20
_SYNC_THREADS: Final = 8

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class SpillFile:
    """The complete file of one bin: `n_bytes` = 16 `n_records`, `sha256` of its bytes in hexadecimal."""

    bin: int
    path: str
    n_records: int
    n_bytes: int
    sha256: str


class BinWriter:
    """Distributes digests over the files `bin-00000.records`, ... in `directory`; use it in a `with` block.

        with BinWriter(directory, n_bins) as writer:
            for digests, rows in digest_stream(source, keys):
                writer.add(digests, rows)
            files = writer.finish()

    n_bins         outer bins, 1 to 4096
    memory_bytes   what is collected before it is written, at least 64 KiB; 36 bytes a row
    expected_rows  how many rows will come, if known: for the message when the disk is full

    What an earlier run that did not finish left in `directory` under these names is removed first. Leaving the block
    without `finish` removes what was written. No more than one file is open at a time.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        n_bins: int,
        *,
        memory_bytes: int = MEMORY_BYTES,
        expected_rows: int | None = None,
        threads: int | None = None,
    ) -> None:
        if not 1 <= n_bins <= MAX_BINS:
            raise ValueError(f"n_bins must be 1 to {MAX_BINS}, got {n_bins}")
        if memory_bytes < _MIN_MEMORY:
            raise ValueError(f"memory_bytes must be at least {_MIN_MEMORY}, got {memory_bytes}")
        self._directory = os.fspath(directory)
        self._n_bins = n_bins
        self._expected = expected_rows
        self._threads = threads
        self._capacity = memory_bytes // _ROW_BYTES
        if expected_rows is not None:
            self._capacity = max(min(self._capacity, expected_rows), 1)
        self._digests = np.empty((self._capacity, DIGEST_BYTES), np.uint8)
        self._rows = np.empty(self._capacity, np.uint32)
        self._grouped = np.empty((self._capacity, RECORD_BYTES), np.uint8)
        self._used = 0
        self._states = [hashlib.sha256() for _ in range(n_bins)]
        self._counts = [0] * n_bins
        self._open = True
        self.n_rows = 0
        try:
            for name in os.listdir(self._directory):
                if name.startswith("bin-") and name.endswith((".records", ".records.partial")):
                    os.unlink(os.path.join(self._directory, name))
            for number in range(n_bins):
                os.close(
                    os.open(self._partial(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                )
        except OSError as error:
            self.discard()
            raise self._failure(error) from error

    def add(self, digests: Bytes, rows: npt.NDArray[np.unsignedinteger[Any]]) -> None:
        """Takes uint8[m, 16] digests and the row ids of each, ascending and above those of earlier calls.

        Raises DataError for row ids from 2^32 - 1 on and for a disk that is full, with the bytes it takes: the writer
        is of no more use then.
        """
        if not self._open:
            raise ValueError("this BinWriter is finished or discarded; make another")
        if digests.ndim != 2 or digests.shape[1] != DIGEST_BYTES or digests.dtype != np.uint8:
            raise ValueError(f"digests must be uint8[m, 16], not {digests.dtype}{list(digests.shape)}")
        if rows.shape != (len(digests),) or rows.dtype.kind != "u":
            raise ValueError(
                f"rows must be {len(digests)} unsigned integers, not {rows.dtype}{list(rows.shape)}"
            )
        if len(rows) and int(rows[-1]) >= _LIMIT_ROWS:
            raise DataError(f"the input has more than {_LIMIT_ROWS} rows; split it into jobs of fewer")
        done = 0
        while done < len(digests):
            n = min(len(digests) - done, self._capacity - self._used)
            here = slice(self._used, self._used + n)
            self._digests[here] = digests[done : done + n]
            self._rows[here] = rows[done : done + n]
            self._used += n
            done += n
            if self._used == self._capacity:
                self._write()
        self.n_rows += len(digests)

    def _write(self) -> None:
        """Groups what is collected and appends each bin's piece to its file."""
        n, self._used = self._used, 0
        if not n:
            return
        records, starts = partition.records(
            self._digests[:n], self._n_bins, rows=self._rows[:n], out=self._grouped[:n], threads=self._threads
        )
        bounds = [int(start) for start in starts]
        try:
            for number in range(self._n_bins):
                begin, end = bounds[number], bounds[number + 1]
                if begin < end:
                    self._append(number, records[begin:end].data.cast("B"))
                    self._counts[number] += end - begin
        except OSError as error:
            self.discard()
            raise self._failure(error) from error

    def _append(self, number: int, piece: memoryview) -> None:
        self._states[number].update(piece)
        # Opened for each piece: some microseconds for tens of kilobytes, and no limit on descriptors is ever met.
        fd = os.open(self._partial(number), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            while piece:
                piece = piece[os.write(fd, piece) :]
        finally:
            os.close(fd)

    def finish(self) -> list[SpillFile]:
        """Writes the rest, puts all files on the disk and under their names; one entry a bin, in order."""
        if not self._open:
            raise ValueError("this BinWriter is finished or discarded; make another")
        self._write()
        try:
            with ThreadPoolExecutor(_SYNC_THREADS) as pool:  # the disk takes many at once in the time of one
                for _ in pool.map(sync, map(self._partial, range(self._n_bins))):
                    pass
            for number in range(self._n_bins):
                os.rename(self._partial(number), self._path(number))
            sync(self._directory)
        except OSError as error:
            self.discard()
            raise self._failure(error) from error
        self._release()
        return [
            SpillFile(
                number, self._path(number), count, count * RECORD_BYTES, self._states[number].hexdigest()
            )
            for number, count in enumerate(self._counts)
        ]

    def discard(self) -> None:
        """Removes what was written; nothing happens after `finish`."""
        if self._open:
            self._release()
            for number in range(self._n_bins):
                for path in (self._partial(number), self._path(number)):
                    with contextlib.suppress(OSError):
                        os.unlink(path)

    def __enter__(self) -> BinWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def _release(self) -> None:
        self._open = False
        self._digests = self._grouped = np.empty((0, DIGEST_BYTES), np.uint8)
        self._rows = np.empty(0, np.uint32)

    def _path(self, number: int) -> str:
        return os.path.join(self._directory, f"bin-{number:05d}.records")

    def _partial(self, number: int) -> str:
        return f"{self._path(number)}.partial"

    def _failure(self, error: OSError) -> DataError:
        needed = f"{RECORD_BYTES} bytes a row are needed"
        if self._expected is not None:
            needed = f"{self._expected * RECORD_BYTES} bytes are needed for {self._expected} rows"
        written = sum(self._counts) * RECORD_BYTES
        return no_space(self._directory, error, f"{written} bytes of spilled keys were written and {needed}")


def read_bin(file: SpillFile) -> Bytes:
    """uint8[n_records, 16]: the records of a bin, after length and SHA-256 were found right.

    Raises CorruptData, naming the file, when they are not or it is gone.
    """
    records = np.empty((file.n_records, RECORD_BYTES), np.uint8)
    state = hashlib.sha256()
    with _opened(file) as stream:
        _fill(file, stream, records, state)
    if state.hexdigest() != file.sha256:
        raise _corrupt(file, "does not have the SHA-256 it was written with")
    return records


def _fill(file: SpillFile, stream: Any, records: Bytes, state: Any) -> None:
    """Reads `records` and adds them to the hash, in pieces that are hashed while they are in the cache."""
    rest = records.reshape(-1).data
    while rest:
        n_read = stream.readinto(rest[:_READ_BYTES])
        if not n_read:
            raise _corrupt(file, "ends early")
        state.update(rest[:n_read])
        rest = rest[n_read:]


def iter_bin(file: SpillFile, chunk_records: int) -> Iterator[Bytes]:
    """The records of a bin, `chunk_records` at a time. The SHA-256 is known after the last: CorruptData comes at the
    end, so nothing made of the chunks may be final before.
    """
    if chunk_records < 1:
        raise ValueError(f"chunk_records must be at least 1, got {chunk_records}")
    state = hashlib.sha256()
    with _opened(file) as stream:
        for start in range(0, file.n_records, chunk_records):
            chunk = np.empty((min(chunk_records, file.n_records - start), RECORD_BYTES), np.uint8)
            _fill(file, stream, chunk, state)
            yield chunk
    if state.hexdigest() != file.sha256:
        raise _corrupt(file, "does not have the SHA-256 it was written with")


@contextlib.contextmanager
def _opened(file: SpillFile) -> Iterator[Any]:
    """The file, of the right size, unbuffered."""
    if file.n_bytes != file.n_records * RECORD_BYTES or file.n_records < 0:
        raise CorruptData(
            f"{file.path}: {file.n_records} records cannot have {file.n_bytes} bytes; {_REMEDY}"
        )
    try:
        with open(file.path, "rb", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size != file.n_bytes:
                raise _corrupt(file, f"has {size} bytes, not {file.n_bytes}")
            yield stream
    except FileNotFoundError as error:
        raise _corrupt(file, "is gone") from error
    except OSError as error:
        raise DataError(f"{file.path}: cannot be read: {error.strerror or error}") from error


_REMEDY: Final = "remove the work directory and run the job again"


def _corrupt(file: SpillFile, what: str) -> CorruptData:
    return CorruptData(f"{file.path}: the spilled keys of bin {file.bin}: the file {what}; {_REMEDY}")
