# SPDX-License-Identifier: Apache-2.0
"""What every test shares: Hypothesis without deadlines (machines are shared), `gpu` tests where there is one."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default"))


def _why_no_gpu() -> str | None:
    """None where a CUDA device can be used, else what is missing."""
    try:
        import cupy
    except ImportError:
        return "needs CuPy: pip install 'crypsis[cuda13]'"
    try:
        return None if cupy.cuda.runtime.getDeviceCount() > 0 else "needs a CUDA device: none is visible"
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"needs a CUDA device: {error}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    reason = _why_no_gpu() if marked else None
    for item in marked if reason else []:
        item.add_marker(pytest.mark.skip(reason=str(reason)))
