# SPDX-License-Identifier: Apache-2.0
"""One party's part of a model as a JSON file: versioned, checked when read, never run.

    {"format": "crypsis model", "version": 1, "kind": "logistic-regression", "role": "guest", "party": "bank",
     "job": "...", "body": {...}, "sha256": "..."}

`sha256` is over the canonical JSON of all the rest, against accidents. `job`: a random name that the parts of one
training share, so that parts of different trainings are not put together. Numbers are finite. Files have mode 0600.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from crypsis.errors import CorruptData, DataError

VERSION = 1
FORMAT = "crypsis model"
MAX_BYTES = 1 << 28


@dataclass(frozen=True, kw_only=True)
class ModelPart:
    """What a model file holds: `body` is the algorithm's own."""

    kind: str
    role: Literal["guest", "host"]
    party: str
    job: str
    body: Mapping[str, Any]

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Writes the part, whole or not at all. DataError where a file is there and `overwrite` is not set, or for what
        cannot be written."""
        target = os.fspath(path)
        if os.path.exists(target) and not overwrite:
            raise DataError(f"{target}: is there already; name another file, or allow overwriting")
        text = json.dumps(self._sealed(), indent=1, sort_keys=True, allow_nan=False) + "\n"
        beside = f"{target}.{secrets.token_hex(4)}.partial"
        try:
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, target)
        except OSError as error:
            if os.path.exists(beside):
                os.unlink(beside)
            raise DataError(f"{target}: cannot be written: {error.strerror}; check its folder") from error

    def _sealed(self) -> dict[str, Any]:
        content = {
            "format": FORMAT,
            "version": VERSION,
            "kind": self.kind,
            "role": self.role,
            "party": self.party,
            "job": self.job,
            "body": dict(self.body),
        }
        return content | {"sha256": _digest(content)}

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, kind: str | None = None, role: str | None = None
    ) -> ModelPart:
        """Reads a part. CorruptData for a file that is none, is damaged, or of another version; DataError for one that
        cannot be read, or of another kind or role than asked for."""
        name = os.fspath(path)
        try:
            if os.path.getsize(name) > MAX_BYTES:
                raise CorruptData(f"{name}: has more than {MAX_BYTES >> 20} MiB and is no model of crypsis")
            with open(name, encoding="utf-8") as file:
                raw = json.load(file)
        except OSError as error:
            raise DataError(f"{name}: cannot be read: {error.strerror}; check the path") from error
        except (ValueError, RecursionError) as error:
            raise CorruptData(f"{name}: is not JSON, so no model of crypsis, or damaged") from error
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise CorruptData(f"{name}: is no model of crypsis")
        if raw.get("version") != VERSION:
            raise CorruptData(
                f"{name}: is a model of version {str(raw.get('version'))[:20]}, this crypsis reads {VERSION}; train it"
                " again, or use the release that made it"
            )
        seal = raw.pop("sha256", None)
        fields = ("kind", "role", "party", "job")
        if (
            seal != _digest(raw)
            or any(not isinstance(raw.get(field), str) for field in fields)
            or not isinstance(raw.get("body"), dict)
            or raw["role"] not in ("guest", "host")
        ):
            raise CorruptData(f"{name}: is damaged or was edited; take the file that the training wrote")
        for what, asked in (("kind", kind), ("role", role)):
            if asked is not None and raw[what] != asked:
                raise DataError(f"{name}: is a model of {what} {raw[what]!r}, and {asked!r} was asked for")
        return cls(kind=raw["kind"], role=raw["role"], party=raw["party"], job=raw["job"], body=raw["body"])


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
