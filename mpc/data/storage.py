# SPDX-License-Identifier: Apache-2.0
"""What the files of the work directory share: onto the disk, and what is said when it is full."""

from __future__ import annotations

import errno
import os
from typing import Final

from crypsis.errors import DataError

NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def sync(path: str) -> None:
    """Puts a file, or the names in a directory, on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def no_space(path: str, error: OSError, needed: str) -> DataError:
    """The DataError for `error` while `path` was written; `needed` says what a full disk lacks."""
    if error.errno in NO_SPACE:
        return DataError(
            f"{path}: no space left ({error.strerror}); {needed}: free some, or name a work directory on a larger disk"
        )
    return DataError(
        f"{path}: cannot be written: {error.strerror or error}; check the work directory and its permissions"
    )
