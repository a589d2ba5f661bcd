# SPDX-License-Identifier: Apache-2.0
"""The row of `crypsis bench` (crypsis.mpc.bench.rows), and where those of this checkout are kept."""

from __future__ import annotations

from pathlib import Path

from crypsis.mpc.bench.rows import FLAGS, Limit, Measurement, Rate, Timing, append, environment

__all__ = [
    "FLAGS",
    "ROOT",
    "Limit",
    "Measurement",
    "Rate",
    "Timing",
    "append",
    "default_path",
    "environment",
]
ROOT = Path(__file__).resolve().parent.parent


def default_path() -> Path:
    """benchmarks/results/<date>-<commit>.jsonl."""
    known = environment()
    return ROOT / "benchmarks" / "results" / f"{known['date'][:10]}-{known['commit']}.jsonl"
