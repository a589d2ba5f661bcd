# SPDX-License-Identifier: Apache-2.0
"""What a training has reached, in its work directory: the job, the aligned rows, and a state after each epoch or tree.

    work/
        job.json                 the job: `Identity`, stage, what its end was; sealed with SHA-256
        rows.state               own rows in the order that both share, where the job began with an intersection
        step-00000000.state      after preprocessing: the fitted steps
        step-00000012.state      after epoch or tree 12; the last three are kept

Files have mode 0600 and are there whole or not at all (`crypsis.mpc.jobs.workdir`). A state is JSON values and arrays,
never pickled, with SHA-256 over its bytes; it names its job, its step and the run that wrote it. A step can be gone on
from where both parties have it from the same run: `common`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from crypsis.errors import CorruptData, DataError
from crypsis.mpc.jobs.identity import Identity, compare
from crypsis.mpc.jobs.workdir import WorkDir, write_durably

VERSION: Final = 1
JOB_FILE: Final = "job.json"
ROWS_FILE: Final = "rows.state"
KEPT: Final = 3
"""Steps kept: parties can be one apart when one of them is killed."""
PREPARED: Final = 0
"""The number of the state after preprocessing."""

_MAGIC: Final = b"crypsis state 1\n"
_DIGEST: Final = 32
_STEP: Final = re.compile(r"step-([0-9]{8})\.state")
_KINDS: Final = "biuf"  # of arrays: booleans, integers, floats
_ARRAY: Final = "array of the state"


@dataclass(frozen=True, order=True)
class Step:
    """A state that is there: its number, and the run that wrote it, in hexadecimal."""

    number: int
    run: str


class Checkpoints:
    """The job in a work directory, which stays locked while this is used. `open` and `begin` make one."""

    def __init__(self, work: WorkDir, record: dict[str, Any]) -> None:
        self.work = work
        self._record = record

    @classmethod
    def open(cls, work: WorkDir) -> Checkpoints | None:
        """The job that was begun in the directory; None where none was. Raises CorruptData, DataError."""
        path = work.file(JOB_FILE)
        if not os.path.exists(path):
            return None
        try:
            with open(path, "rb") as file:
                record = json.load(file)
            seal = record.pop("sha256")
            good = seal == _seal(record)
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
            good = False
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}; check its permissions") from error
        if not good:
            raise _corrupt(path)
        if record.get("version") != VERSION:
            raise DataError(
                f"{path}: is of version {str(record.get('version'))[:20]}, this release of crypsis knows version"
                f" {VERSION}; end the job with the release that began it, or name another work_dir"
            )
        return cls(work, record)

    @classmethod
    def begin(cls, work: WorkDir, identity: Identity, *, keep: tuple[str, ...] = ()) -> Checkpoints:
        """Writes down a new job, after what an older one may have left is gone but for what `keep` names."""
        work.clear(keep=keep)
        created = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        found = cls(
            work, {"version": VERSION, "created": created, "identity": identity.as_json(), "end": None}
        )
        found._write()
        return found

    # The job.

    @property
    def identity(self) -> Identity:
        """Of the job as it was begun."""
        try:
            return Identity.of_json(self._record["identity"])
        except (KeyError, TypeError, ValueError) as error:
            raise _corrupt(self.work.file(JOB_FILE)) from error

    def is_of(self, expected: Identity) -> bool:
        """Whether the job was begun with the same configuration and input."""
        return self.identity.digest() == expected.digest()

    def check(self, expected: Identity) -> None:
        """Raises ConfigError or DataError, naming the first thing that is not as when the job was begun."""
        compare(self.identity, expected, where=self.work.path, since=str(self._record["created"]))

    @property
    def progressed(self) -> bool:
        """Whether a training has come to the end of an epoch or tree; what was before is soon done again."""
        return self.end is not None or any(number > PREPARED for number in self._numbers())

    @property
    def empty(self) -> bool:
        """Whether nothing was written down but that the job was begun."""
        return not (self.progressed or self._numbers() or os.path.exists(self.work.file(ROWS_FILE)))

    def name_job(self, job: bytes) -> None:
        """Writes down the bytes that both parties know the job by; what there is of a job of another name goes."""
        if self.identity.job not in (b"", job):
            self.forget_rows()
        self._set("identity", replace(self.identity, job=job).as_json())

    @property
    def end(self) -> dict[str, Any] | None:
        """What `complete` wrote down; None while the job lasts."""
        value: dict[str, Any] | None = self._record["end"]
        return value

    def complete(self, end: Mapping[str, Any]) -> None:
        """Writes down that the results are in place, and what they are."""
        self._set("end", dict(end))

    # States.

    def save(self, step: int, run: str, state: Mapping[str, Any]) -> None:
        """Writes the state after `step` and removes those that are no longer needed.

        state: nested dicts (of text keys) and lists of JSON values and NumPy arrays of numbers. TypeError for others.
        """
        self._save(self._step_file(step), {"step": step, "run": run}, state)
        old = sorted(number for number in self._numbers() if number != PREPARED)[:-KEPT]
        self.work.remove(*(self._step_file(number) for number in old))

    def save_rows(self, run: str, rows: np.ndarray[Any, Any], counts: Mapping[str, int]) -> None:
        """Writes own rows in the order that both share, and what the report says of the intersection."""
        self._save(self.work.file(ROWS_FILE), {"run": run}, {"rows": rows, "counts": dict(counts)})

    def load(self, step: Step) -> dict[str, Any]:
        """The state after a step. CorruptData naming the file."""
        path = self._step_file(step.number)
        about, state = self._read(path)
        if (about.get("step"), about.get("run")) != (step.number, step.run):
            raise _corrupt(path)
        return state

    def rows(self) -> tuple[str, np.ndarray[Any, Any], dict[str, Any]] | None:
        """(the run that wrote them, own rows, counts); None where there are none yet."""
        path = self.work.file(ROWS_FILE)
        if not os.path.exists(path):
            return None
        about, state = self._read(path)
        rows, counts = state.get("rows"), state.get("counts")
        if not isinstance(rows, np.ndarray) or rows.dtype != np.int64 or rows.ndim != 1:
            raise _corrupt(path)
        if not isinstance(counts, dict):
            raise _corrupt(path)
        return str(about.get("run")), rows, counts

    def steps(self) -> list[Step]:
        """The states that are there, each read and found to be whole, ascending."""
        found = []
        for number in sorted(self._numbers()):
            path = self._step_file(number)
            about, _ = self._read(path)
            if about.get("step") != number or not isinstance(about.get("run"), str):
                raise _corrupt(path)
            found.append(Step(number, about["run"]))
        return found

    def keep_to(self, step: Step | None) -> None:
        """Removes every state after `step`; all of them where it is None."""
        last = -1 if step is None else step.number
        self.work.remove(*(self._step_file(number) for number in self._numbers() if number > last))

    def forget_rows(self) -> None:
        """Removes the aligned rows, and all states, which were of these."""
        self.keep_to(None)
        self.work.remove(self.work.file(ROWS_FILE))

    # Files.

    def _numbers(self) -> list[int]:
        found = (_STEP.fullmatch(name) for name in os.listdir(self.work.path))
        return [int(match[1]) for match in found if match is not None]

    def _step_file(self, number: int) -> str:
        return self.work.file(f"step-{number:08}.state")

    def _set(self, name: str, value: Any) -> None:
        self._record = {**self._record, name: value}
        self._write()

    def _write(self) -> None:
        sealed = self._record | {"sha256": _seal(self._record)}
        write_durably(self.work.file(JOB_FILE), (json.dumps(sealed, indent=1) + "\n").encode())

    def _save(self, path: str, about: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        arrays: list[np.ndarray[Any, Any]] = []
        tree = _flattened(dict(state), arrays)
        shapes = [[array.dtype.str, list(array.shape)] for array in arrays]
        header = json.dumps(
            {**about, "job": self.identity.job.hex(), "state": tree, "arrays": shapes}, allow_nan=True
        ).encode()
        parts: list[bytes | memoryview] = [_MAGIC, struct.pack("<Q", len(header)), header]
        parts += [array.reshape(-1).view(np.uint8).data for array in arrays if array.size]
        total = hashlib.sha256()
        for part in parts:
            total.update(part)
        write_durably(path, *parts, total.digest())

    def _read(self, path: str) -> tuple[dict[str, Any], dict[str, Any]]:
        try:
            with open(path, "rb") as file:
                raw = file.read()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}; check its permissions") from error
        body = memoryview(raw)[:-_DIGEST]
        if len(raw) < len(_MAGIC) + 8 + _DIGEST or hashlib.sha256(body).digest() != raw[-_DIGEST:]:
            raise _corrupt(path)
        if bytes(body[: len(_MAGIC)]) != _MAGIC:
            raise DataError(
                f"{path}: was written by another version of crypsis; end the job with that one, or remove the work"
                " directory at both parties and start again"
            )
        begin = len(_MAGIC) + 8
        (length,) = struct.unpack("<Q", body[len(_MAGIC) : begin])
        try:
            header = json.loads(bytes(body[begin : begin + length]))
            arrays = _arrays(header["arrays"], body[begin + length :])
            state = _restored(header["state"], arrays)
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            raise _corrupt(path) from error
        if header.get("job") != self.identity.job.hex():
            raise DataError(
                f"{path}: is a checkpoint of another job; put the files of this one back, or remove the work directory"
                " at both parties and start again"
            )
        return header, state


def common(own: Iterable[Step], theirs: Iterable[Step]) -> Step | None:
    """The last step that both have from the same run; None without one, and without a common preparation."""
    both = set(own) & set(theirs)
    if not any(step.number == PREPARED for step in both):
        return None
    return max(both)


def _seal(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(b"crypsis job 1\0" + text.encode()).hexdigest()


def _corrupt(path: str) -> CorruptData:
    return CorruptData(
        f"{path}: is damaged, or was edited; put it back from a backup, or remove the work directory at both parties"
        " and start again"
    )


def _flattened(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    """`value` with its arrays moved to `arrays`, and a reference in the place of each."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _KINDS:
            raise TypeError(f"a state holds an array of {value.dtype}: give numbers")
        arrays.append(np.ascontiguousarray(value))
        return {_ARRAY: len(arrays) - 1}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key == _ARRAY:
                raise TypeError(f"a state has the key {key!r}: give texts")
        return {key: _flattened(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_flattened(item, arrays) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"a state holds a {type(value).__name__}: give JSON values and arrays of numbers")


def _arrays(shapes: list[Any], data: memoryview) -> list[np.ndarray[Any, Any]]:
    arrays, begin = [], 0
    for kind, shape in shapes:
        dtype = np.dtype(kind)
        if dtype.kind not in _KINDS or any(type(length) is not int or length < 0 for length in shape):
            raise ValueError
        count = int(np.prod(shape, dtype=object)) if shape else 1
        end = begin + count * dtype.itemsize
        if end > len(data):
            raise ValueError
        arrays.append(np.frombuffer(data[begin:end], dtype=dtype).reshape(shape).copy())
        begin = end
    if begin != len(data):
        raise ValueError
    return arrays


def _restored(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, dict):
        if set(value) == {_ARRAY}:
            return arrays[value[_ARRAY]]
        return {key: _restored(item, arrays) for key, item in value.items()}
    return [_restored(item, arrays) for item in value] if isinstance(value, list) else value
