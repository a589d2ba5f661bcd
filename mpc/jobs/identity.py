# SPDX-License-Identifier: Apache-2.0
"""What makes two starts of a command the same job: its name between the parties, its configuration, its input."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from crypsis.errors import ConfigError, DataError

_SHOWN = 80  # characters of a value in a message


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """A file, or another source, of the input: its absolute path or address, size, and SHA-256 in hexadecimal."""

    path: str
    n_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A job as its ledger knows it.

    `job`: the bytes both parties know it by; empty until they have agreed on them, and then not compared.
    `public`, `own`: the fields of the configuration, JSON values, that must not change while the job lasts: those
    both parties have in common, and those of this party (not what may change, such as threads or patience).
    """

    job: bytes = b""
    public: dict[str, Any] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)
    input: tuple[InputFile, ...] = ()

    def digest(self) -> str:
        """SHA-256 over all but `job`, in hexadecimal."""
        fields = {name: value for name, value in self.as_json().items() if name != "job"}
        return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """JSON values, as `of_json` takes them."""
        files = [{"path": f.path, "n_bytes": f.n_bytes, "sha256": f.sha256} for f in self.input]
        return {"job": self.job.hex(), "public": self.public, "own": self.own, "input": files}

    @classmethod
    def of_json(cls, value: Any) -> Identity:
        """Raises KeyError, TypeError or ValueError for what `as_json` does not give."""
        return cls(
            job=bytes.fromhex(value["job"]),
            public=dict(value["public"]),
            own=dict(value["own"]),
            input=tuple(InputFile(**file) for file in value["input"]),
        )


def input_files(paths: Iterable[str]) -> tuple[InputFile, ...]:
    """Reads and hashes each file (about 1 to 2 GB/s). Raises DataError naming one that cannot be read."""
    found = []
    for path in paths:
        try:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                n_bytes = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        found.append(InputFile(path=os.path.abspath(path), n_bytes=n_bytes, sha256=digest))
    return tuple(found)


def compare(begun: Identity, expected: Identity, *, where: str, since: str) -> None:
    """Raises ConfigError for the first field, DataError for the first input file, that is not as it was when the job
    in the work directory `where` was begun, at `since`."""
    afresh = f"or start afresh: remove {where} at this party and the peer's work directory too"
    begun_at = f"{where}: the job was begun here on {since}"
    if begun.job and expected.job and begun.job != expected.job:
        raise ConfigError(
            f"{begun_at} as {begun.job.hex()[:16]}, the peer goes on with {expected.job.hex()[:16]}: one "
            f"work directory is of another job; name the right work_dir, {afresh}"
        )
    for kind, then, now in (("", begun.public, expected.public), ("own ", begun.own, expected.own)):
        for name in [*then, *(name for name in now if name not in then)]:
            if name not in then or name not in now or _text(then[name]) != _text(now[name]):
                raise ConfigError(
                    f"{begun_at} with {kind}{name} = {_shown(then, name)}, now it is {_shown(now, name)}; "
                    f"give {_shown(then, name)} again, {afresh}"
                )
    _compare_input(begun.input, expected.input, f"{begun_at}", afresh)


def _compare_input(
    begun: tuple[InputFile, ...], expected: tuple[InputFile, ...], begun_at: str, afresh: str
) -> None:
    then, now = {f.path: f for f in begun}, {f.path: f for f in expected}
    for path, file in then.items():
        if path not in now:
            raise DataError(f"{path}: is missing from the input; {begun_at} with it; put it back, {afresh}")
        found = now[path]
        if found != file:
            what = (
                f"{found.n_bytes} bytes instead of {file.n_bytes}"
                if found.n_bytes != file.n_bytes
                else f"SHA-256 {found.sha256[:16]}... instead of {file.sha256[:16]}..."
            )
            raise DataError(f"{path}: has changed ({what}) since {begun_at}; put the old file back, {afresh}")
    for path in now:
        if path not in then:
            raise DataError(f"{path}: is new in the input; {begun_at} without it; take it out, {afresh}")
    for position, (old, new) in enumerate(zip(begun, expected, strict=True)):
        if old.path != new.path:
            raise DataError(
                f"{new.path}: is file {position + 1} of the input, {old.path} was; {begun_at} in that order; "
                f"restore the order, {afresh}"
            )


def _text(value: Any) -> str:
    """Tells 1 from true and from 1.0, which Python takes for equal."""
    return json.dumps(value, sort_keys=True)


def _shown(fields: dict[str, Any], name: str) -> str:
    return _text(fields[name])[:_SHOWN] if name in fields else "not set"
