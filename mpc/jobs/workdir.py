# SPDX-License-Identifier: Apache-2.0
"""The work directory of a job that can be resumed: one job at a time, private, and durable file by file.

    work/                      mode 0700: what lies in it tells of the input
        crypsis-work.json      the mark: format, version of the ledger, release that made it
        lock                   held by the process that works here (flock, so that a kill lets go of it)
        ledger.sqlite          crypsis.mpc.jobs.ledger
        ...                    spilled bins and results, as the job names them

A file is written beside its name, flushed to the disk, renamed, and its directory flushed: after a power loss it is
there whole or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from importlib.metadata import version
from typing import Final

from crypsis.errors import CorruptData, DataError

LEDGER_VERSION: Final = 1  # of the mark, the ledger's tables and the files beside them
LEDGER_FILE: Final = "ledger.sqlite"
MARK: Final = "crypsis-work.json"
LOCK: Final = "lock"
_FORMAT: Final = "crypsis work directory"
_PARTIAL: Final = ".partial"
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_BYTES: Final = 1 << 20


def size_text(n_bytes: int) -> str:
    """Bytes in the largest binary unit that keeps a digit before the point: "2.50 GiB"."""
    value = float(n_bytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{n_bytes} bytes" if unit == "bytes" else f"{value:.2f} {unit}"
        value /= 1024
    return f"{value:.2f} TiB"


def sync_directory(path: str) -> None:
    """Puts the names in the directory on the disk: without it a renamed file may be lost with the power."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def write_durably(path: str, *parts: bytes | memoryview) -> str:
    """Writes `parts` one after the other under `path` (replacing what is there), whole or not at all, and on the disk
    when it returns; mode 0600. Returns SHA-256 of the bytes in hexadecimal. Workers may call it: it needs no lock.

    Raises DataError, with what is missing where the disk is full; then nothing of it stays.
    """
    temporary = f"{path}.{os.getpid()}{_PARTIAL}"
    state = hashlib.sha256()
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            for part in parts:
                view = memoryview(part).cast("B")
                state.update(view)
                while view:
                    view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
        sync_directory(os.path.dirname(path) or ".")
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise _cannot_write(path, error, sum(memoryview(part).nbytes for part in parts)) from error
    return state.hexdigest()


def verify_file(path: str, *, n_bytes: int, sha256: str, what: str) -> None:
    """Compares a file with its size and SHA-256 (hexadecimal). Raises CorruptData naming `path` and `what` it is."""
    remedy = "remove the work directory at both parties and start again"
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno()).st_size
            digest = hashlib.file_digest(file, "sha256").hexdigest() if found == n_bytes else ""
    except OSError as error:
        raise CorruptData(f"{path}: {what} cannot be read: {error.strerror}; {remedy}") from error
    if found != n_bytes:
        raise CorruptData(f"{path}: {what} has {found} bytes, {n_bytes} were written; {remedy}")
    if digest != sha256:
        raise CorruptData(f"{path}: {what} is damaged: its SHA-256 is not the one written down; {remedy}")


class WorkDir:
    """An open work directory, locked until `close` or the end of the process. `open` makes one."""

    def __init__(self, path: str, lock: int, *, made: bool) -> None:
        self.path = path
        self._lock = lock
        self._made = made

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> WorkDir:
        """Opens the directory, or makes it (mode 0700; its parent must exist), and locks it.

        Raises DataError naming it: in use by another process, not empty and not one of ours, of another version,
        open to other users, not writable.
        """
        where = os.path.abspath(os.fspath(path))
        try:
            made = _make(where)
            _check_private(where)
            names = set(os.listdir(where))
            if MARK not in names and not _unborn(names):
                raise DataError(
                    f"{where}: is not empty and no work directory of Crypsis; name another, or a new one"
                )
            lock = _take_lock(where)
        except OSError as error:
            raise DataError(
                f"{where}: cannot be used as work directory: {error.strerror}; check the path and its permissions"
            ) from error
        try:
            # Again under the lock: another process may have begun, or ended, in between.
            if os.path.exists(os.path.join(where, MARK)):
                made = _read_mark(where)
            else:
                _write_mark(where, made=made)
            _drop_partial(where)
        except BaseException:
            os.close(lock)
            raise
        return cls(where, lock, made=made)

    @property
    def free_bytes(self) -> int:
        """What may still be written to its disk."""
        return shutil.disk_usage(self.path).free

    def require_space(self, n_bytes: int, what: str) -> None:
        """Raises DataError where less than `n_bytes` are free for `what` ("the bins of 1e9 rows")."""
        free = self.free_bytes
        if free < n_bytes:
            raise DataError(
                f"{self.path}: {what} takes up to {size_text(n_bytes)}, {size_text(free)} are free there; "
                f"free {size_text(n_bytes - free)} more, or put work_dir on another disk"
            )

    def file(self, *names: str) -> str:
        """The path of a file inside; ValueError for names that lead elsewhere."""
        for name in names:
            if name in ("", ".", "..") or "/" in name or "\0" in name:
                raise ValueError(f"{name!r} is no plain file name inside {self.path}")
        return os.path.join(self.path, *names)

    def directory(self, name: str) -> str:
        """The path of a directory inside (mode 0700), made where it is missing."""
        path = self.file(name)
        if not os.path.isdir(path):
            try:
                os.mkdir(path, 0o700)
                sync_directory(self.path)
            except OSError as error:
                raise _cannot_write(path, error, 0) from error
        return path

    def remove(self, *paths: str) -> None:
        """Deletes spent files; those that are gone already are fine. Their space counts as free at once."""
        for path in paths:
            inside = os.path.abspath(path)
            if os.path.commonpath((inside, self.path)) != self.path or inside == self.path:
                raise ValueError(f"{path!r} is not inside {self.path}")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(inside)

    def clear(self, *, keep: tuple[str, ...] = ()) -> None:
        """Deletes everything but the mark, the lock and what `keep` names: the next job begins afresh."""
        for name in [
            LEDGER_FILE,
            *os.listdir(self.path),
        ]:  # without its ledger nothing of the rest is believed
            if name in (MARK, LOCK, *keep):
                continue
            inside = os.path.join(self.path, name)
            if os.path.isdir(inside) and not os.path.islink(inside):
                shutil.rmtree(inside)
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(inside)
        sync_directory(self.path)

    def destroy(self) -> None:
        """Deletes what is inside, and the directory itself if Crypsis made it; then it is closed."""
        self.clear()
        os.unlink(self.file(MARK))
        os.unlink(self.file(LOCK))
        self.close()
        if self._made:
            with contextlib.suppress(OSError):  # another process may have begun here
                os.rmdir(self.path)

    def close(self) -> None:
        """Lets go of the lock; the files stay."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> WorkDir:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _make(where: str) -> bool:
    """Makes the directory; False where it is there."""
    try:
        os.mkdir(where, 0o700)
    except FileExistsError:
        if not os.path.isdir(where):
            raise DataError(f"{where}: is a file; name a directory as work_dir") from None
        if not os.listdir(where):
            os.chmod(where, 0o700)
        return False
    sync_directory(os.path.dirname(where))
    return True


def _check_private(where: str) -> None:
    found = os.stat(where)
    if found.st_uid != os.geteuid():
        raise DataError(f"{where}: belongs to another user; name a directory of your own as work_dir")
    if MARK in os.listdir(where) and found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(found.st_mode)
        raise DataError(
            f"{where}: other users have access to it (mode {mode:04o}), and it holds digests of the input; "
            f"run chmod 700 on it"
        )


def _unborn(names: set[str]) -> bool:
    """Empty, or left by a process that was killed before it had written the mark."""
    return all(name == LOCK or (name.startswith(MARK) and name.endswith(_PARTIAL)) for name in names)


def _take_lock(where: str) -> int:
    lock = os.open(os.path.join(where, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 20).decode("ascii", "replace").strip()
        os.close(lock)
        by = f"process {holder}" if holder.isdigit() else "another process"
        raise DataError(
            f"{where}: {by} works in it; wait for its end, or give this job a work_dir of its own"
        ) from None
    except OSError:
        os.close(lock)
        raise
    if not _is_file(os.path.join(where, LOCK), lock):  # its last holder destroyed the directory meanwhile
        os.close(lock)
        raise DataError(f"{where}: was being removed by another process; run the command again")
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def _is_file(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _write_mark(where: str, *, made: bool) -> None:
    mark = {"format": _FORMAT, "version": LEDGER_VERSION, "crypsis": version("crypsis"), "made": made}
    write_durably(os.path.join(where, MARK), json.dumps(mark).encode())


def _read_mark(where: str) -> bool:
    """Checks the mark; whether Crypsis made the directory."""
    path = os.path.join(where, MARK)
    try:
        with open(path, "rb") as file:
            mark = json.loads(file.read(_READ_BYTES))
        good = isinstance(mark, dict) and mark["format"] == _FORMAT and type(mark["version"]) is int
        release = str(mark["crypsis"])[:40] if good else ""
    except (ValueError, KeyError, RecursionError):
        good = False
    if not good:
        raise CorruptData(f"{path}: is not as Crypsis writes it; remove the work directory and start again")
    if mark["version"] != LEDGER_VERSION:
        raise DataError(
            f"{where}: its ledger is of version {mark['version']} (crypsis {release}), this release knows version "
            f"{LEDGER_VERSION}; end the job with crypsis {release}, or name another work_dir"
        )
    return mark.get("made") is True


def _drop_partial(where: str) -> None:
    """Deletes what writers that were killed left half-written. Under the lock nobody else writes here."""
    for entry in _files(where):
        if entry.name.endswith(_PARTIAL):
            os.unlink(entry.path)


def _files(where: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(where) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            else:
                yield entry


def _cannot_write(path: str, error: OSError, n_bytes: int) -> DataError:
    if error.errno in _NO_SPACE:
        return DataError(
            f"{path}: no space left for {size_text(n_bytes)} ({error.strerror}); free some and run the same command "
            "again: it goes on from here"
        )
    return DataError(f"{path}: cannot be written: {error.strerror}; check the work directory")
