# SPDX-License-Identifier: Apache-2.0
"""Errors of Crypsis that are also of the types which TenSEAL raises in their place."""

from __future__ import annotations

from crypsis import errors


class MissingKey(errors.MissingKey, ValueError):
    """The context lacks a key."""


class CorruptData(errors.CorruptData, ValueError):
    """Bytes are no serialised object of this package."""


class BroadcastError(ValueError, RuntimeError):
    """Shapes that do not go together."""
