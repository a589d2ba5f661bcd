# SPDX-License-Identifier: Apache-2.0
"""Any number of correlations in the memory of a few, and every one of them right: `streaming`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are in KiB on Linux only")

LOG_SMALL, MARGIN_KIB = 20, 96 << 10


def peak_kib(source: str, n: int) -> int:
    command = [sys.executable, str(Path(__file__).with_name("streaming.py")), source, str(n)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout)


@pytest.mark.parametrize("source", ["softspoken", "ferret", "vole"])
def test_every_piece_is_correlated(source: str) -> None:
    assert peak_kib(source, 100_001) > 0


@pytest.mark.slow
@pytest.mark.parametrize(("source", "log_large"), [("softspoken", 26), ("ferret", 26), ("vole", 25)])
def test_memory_does_not_grow(source: str, log_large: int) -> None:
    """2^26 of them would fill 1 GiB at each party; the pages of a few rounds are allowed."""
    small, large = peak_kib(source, 1 << LOG_SMALL), peak_kib(source, 1 << log_large)
    assert large < small + MARGIN_KIB, f"{small} KiB for 2^{LOG_SMALL}, {large} KiB for 2^{log_large}"
