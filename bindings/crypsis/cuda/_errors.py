# SPDX-License-Identifier: Apache-2.0
"""What a kernel reports through its error word, as kernels/common/errors.cuh writes it, and what Python raises."""

from __future__ import annotations

from enum import IntEnum

from crypsis.errors import CorruptData, InvalidCiphertext, InvalidPoint, NotInvertible

NO_ERROR = 2**64 - 1
"""The word before a launch, and after one that found nothing wrong."""


class ErrorCode(IntEnum):
    """The numbers of `enum ErrorCode` in kernels/common/errors.cuh."""

    OUT_OF_RANGE = 1
    NOT_INVERTIBLE = 2
    INVALID_POINT = 3
    INVALID_CIPHERTEXT = 4
    CORRUPT_DATA = 5


_EXCEPTIONS: dict[ErrorCode, type[Exception]] = {
    ErrorCode.OUT_OF_RANGE: ValueError,
    ErrorCode.NOT_INVERTIBLE: NotInvertible,
    ErrorCode.INVALID_POINT: InvalidPoint,
    ErrorCode.INVALID_CIPHERTEXT: InvalidCiphertext,
    ErrorCode.CORRUPT_DATA: CorruptData,
}


def exception(code: ErrorCode, message: str) -> Exception:
    """The exception that the CPU's functions raise for this kind of bad data, with `message`."""
    return _EXCEPTIONS[code](message)


def decode(word: int) -> tuple[ErrorCode, int] | None:
    """(code, row) of an error word; None where nothing was reported.

    Raises:
        ValueError: a code that no kernel writes; the word was overwritten.
    """
    return None if word == NO_ERROR else (ErrorCode(word & 0xFF), word >> 8)
