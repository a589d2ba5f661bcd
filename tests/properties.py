# SPDX-License-Identifier: Apache-2.0
"""Hypothesis for test files that a GPU's machine loads too; where that lacks it the properties alone are skipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

__all__ = ["HealthCheck", "assume", "given", "settings", "st"]

try:
    from hypothesis import HealthCheck, assume, given, settings
    from hypothesis import strategies as st
except ImportError:

    class _Absent:
        """Anything that a property is declared with."""

        def __getattr__(self, name: str) -> _Absent:
            return self

        def __call__(self, *_: object, **__: object) -> _Absent:
            return self

    def given(*_: object, **__: object) -> Callable[[Any], Any]:
        """A test in the property's place that is skipped."""

        def replace(test: Any) -> Any:
            @pytest.mark.skip(reason="hypothesis is not installed")
            def skipped() -> None: ...

            skipped.__name__ = test.__name__
            return skipped

        return replace

    def settings(*_: object, **__: object) -> Callable[[Any], Any]:
        """Nothing to set."""
        return lambda test: test

    HealthCheck = assume = st = _Absent()
