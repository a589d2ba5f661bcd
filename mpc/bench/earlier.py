# SPDX-License-Identifier: Apache-2.0
"""Runs of a commit on this machine before this one. A machine that others share is slow for minutes at a time: all
passes of a run fall into such minutes and agree. What runs differ by belongs to the spread as soon as there are two.

A file of JSON lines in the user's cache directory, of figures alone; it may be removed at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from crypsis.mpc.bench.rows import off
from crypsis.mpc.psi import rates

FILE: Final = "bench.jsonl"
_MOST_LINES: Final = 4_000
_MOST_RUNS: Final = 10
_OF = ("name", "items", "commit", "cpu", "cpus", "cpu_flags", "forced_backend", "python")

Row = dict[str, Any]


def default_path() -> Path:
    """crypsis/bench.jsonl in the user's cache directory."""
    return Path(rates.default_path()).with_name(FILE)


class Earlier:
    """What `path` has; `why_not` says why a run could not be remembered, else it is empty."""

    def __init__(self, path: Path) -> None:
        self.path, self.why_not = path, ""
        self._found: dict[str, list[Row]] = {}
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        for line in lines[-_MOST_LINES:]:
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
                told = json.loads(line)
                figures = _figures(told["per_second"], told["ratios"])
                self._found.setdefault(told["of"], []).append(figures)
        if len(lines) > 2 * _MOST_LINES:
            with contextlib.suppress(OSError):
                partial = path.with_name(f".{FILE}.{os.getpid()}")
                partial.write_text("\n".join(lines[-_MOST_LINES:]) + "\n", encoding="utf-8")
                partial.chmod(0o600)
                partial.replace(path)

    def widened(self, row: Row) -> Row:
        """The row, whose spreads reach to the figures of the runs before it; then it is one of them. Rows of a checkout
        with changes are no commit's, and stay as they are."""
        if row.get("dirty"):
            return row
        key = json.dumps([row.get(name) for name in _OF] + [row["extra"].get("scale")], sort_keys=True)
        before = self._found.setdefault(key, [])[-_MOST_RUNS:]
        figures = _figures(row["per_second"], {name: told["ratio"] for name, told in row["peers"].items()})
        self._found[key].append(figures)
        self._remember({"of": key} | figures)
        peers = {
            name: told
            | {
                "ratio_spread": _reach(
                    told["ratio_spread"], told["ratio"], [e["ratios"].get(name) for e in before]
                )
            }
            for name, told in row["peers"].items()
        }
        spread = _reach(row["spread"], row["per_second"], [e["per_second"] for e in before])
        return row | {"spread": spread, "peers": peers, "earlier_runs": len(before)}

    def _remember(self, line: Mapping[str, Any]) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            self.why_not = f"{self.path}: {error.strerror}"


def _figures(per_second: Any, ratios: Any) -> Row:
    """ValueError and such for what is no figure."""
    rate, by_peer = float(per_second), {str(name): float(ratio) for name, ratio in ratios.items()}
    if not all(0 < figure < 1e300 for figure in (rate, *by_peer.values())):
        raise ValueError
    return {"per_second": rate, "ratios": by_peer}


def _reach(spread: float, figure: float, before: list[float | None]) -> float:
    return max(spread, *(off(one, figure) for one in before if one is not None), 0.0)
