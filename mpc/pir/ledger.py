# SPDX-License-Identifier: Apache-2.0
"""The owner's count of queries over all jobs: a JSON-lines file, one line a job, that only grows.

A line is written, and on the disk, before the first answer of its job is sent: what a job was allowed counts even if
the job then fails. The file is locked while a job is admitted, so that two jobs at once cannot share a rest.
"""

from __future__ import annotations

import fcntl
import json
import os
from datetime import UTC, datetime

from crypsis.errors import ConfigError, CorruptData, DataError


def admit(path: str, *, peer: str, list_name: str, n_queries: int, limit: int | None) -> int:
    """Counts a job in; returns the queries of `peer` about `list_name` including it. Raises ConfigError where they
    would exceed `limit`, DataError and CorruptData for a file that cannot be used."""
    try:
        with open(path, "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            before = _count(path, file.read(), peer, list_name)
            total = before + n_queries
            if limit is not None and total > limit:
                raise ConfigError(
                    f"{peer} asked {before} queries about {list_name!r} so far and now {n_queries} more: "
                    f"max_queries_in_all is {limit} ({path})"
                )
            line = {
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "peer": peer,
                "list_name": list_name,
                "queries": n_queries,
            }
            file.write((json.dumps(line) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
            return total
    except OSError as error:
        raise DataError(f"{path}: the ledger cannot be used: {error.strerror}; check the path") from error


def check(path: str) -> None:
    """Raises DataError now for what would stop `admit` later."""
    try:
        with open(path, "a+b") as file:
            file.seek(0)
            _count(path, file.read(), "", "")
    except OSError as error:
        raise DataError(f"{path}: the ledger cannot be used: {error.strerror}; check the path") from error


def _count(path: str, text: bytes, peer: str, list_name: str) -> int:
    total = 0
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            entry = json.loads(line)
            count = entry["queries"]
            if entry["peer"] == peer and entry["list_name"] == list_name:
                total += count
            good = type(count) is int and count >= 0
        except (ValueError, KeyError, TypeError):
            good = False
        if not good:
            raise CorruptData(f"{path}:{number}: is no line of a ledger; restore the file or name another")
    return total
