# SPDX-License-Identifier: Apache-2.0
"""The sections of `make gpu-check`, and how one runs: a process with a time limit whose rows are read as they come."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TAIL = 15
MOST_AT_A_TIME = 8
"""Sections side by side: each has a CUDA context of half a gigabyte and compiles on one core."""
WORKER = [sys.executable, "-m", "benchmarks.gpu.worker"]
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default", "-m", "gpu"]

# Name and group of every case in the order in which they are measured; tests/test_gpu_check.py holds it to the cases.
# Here, because this runs before anything is built.
CASE_GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("powm", ("bigint/powm/2048",)),
    ("curves", ("curve25519/scalar_mult", "curve25519/map_to_curve")),
    ("encrypt", ("paillier/encrypt_vartime/2048", "bigint/fixed_base_vartime/4096", "paillier/encrypt/2048")),
    ("tables", ("okvs/encode", "okvs/decode")),
    ("blocks", ("aes/mmo", "aes/tmmo", "aes/ctr", "aes/ggm_level")),
    ("hashing", ("hashing/sha256/16", "hashing/sha256/32")),
    (
        "trees and codes",
        ("vole/expand_trees", "vole/expand_noise", "vole/primal_encode", "vole/expand_convolute"),
    ),
    ("matching", ("partition/group", "partition/match", "partition/sort_tags", "partition/by_bin")),
    ("psi", ("psi/vole", "psi/ecdh")),
    ("ckks", ("ckks/multiply/15", "ckks/rotate/15", "ckks/multiply/13", "ckks/rotate/13")),
    ("decrypt", ("paillier/decrypt/2048", "paillier/add/2048")),
    ("bits", ("bitmatrix/transpose", "bitmatrix/gf128_multiply")),
    ("products", ("bigint/mod_mul/2048", "bigint/mod_mul/4096")),
    ("rings", ("ntt/forward/16", "ntt/inverse/16", "rns/switch_key/14", "ntt/forward/13", "ntt/inverse/13")),
    ("encrypt more", ("paillier/blinding/2048", "bigint/fixed_base/4096", "paillier/encrypt_owner/2048")),
    ("powm more", ("bigint/powm_vartime/2048", "bigint/powm/4096", "bigint/powm/1024")),
    ("hashing more", ("hashing/blake3/16", "hashing/blake3/32", "hashing/sm3/16", "hashing/sm3/32")),
)
COMPILED_ONCE = ("aes", "bitmatrix", "ckks", "curve25519", "okvs", "partition", "psi", "vole")
"""Slugs whose cases share a module: one process warms all of a group."""
SMOKE = (
    "tests/test_cuda_arith.py",
    "tests/test_cuda_hashing.py",
    "tests/test_cuda_bigint.py::test_on_a_gpu_as_on_the_cpu[2048]",
)
SANITIZED = (
    "bigint/mod_mul/2048",
    "bigint/powm/1024",
    "hashing/sha256/16",
    "hashing/blake3/32",
    "ntt/forward/13",
    "rns/switch_key/14",
    "curve25519/scalar_mult",
    "curve25519/map_to_curve",
    "aes/mmo",
    "bitmatrix/transpose",
    "bitmatrix/gf128_multiply",
    "vole/expand_trees",
    "vole/expand_convolute",
    "okvs/encode",
    "okvs/decode",
    "partition/group",
    "partition/match",
)

AT_A_TIME = 6
"""Cases of one process under a sanitizer, which makes them slow."""


@dataclass(frozen=True)
class Section:
    """One process. limit: seconds after which it is killed; least: seconds without which it is not begun."""

    name: str
    command: list[str]
    limit: float
    least: float
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Outcome:
    """What became of a section."""

    seconds: float
    code: int | None
    """None: it was killed at its limit."""
    told: list[str]
    """The last lines that are no rows."""
    wrong: list[str]
    """Answers that were not the CPU's."""

    @property
    def good(self) -> bool:
        return self.code == 0 and not self.wrong

    @property
    def verdict(self) -> str:
        if self.wrong:
            return f"WRONG: {self.wrong[0]}"
        if self.code is None:
            return "killed at its limit"
        return "done" if self.code == 0 else f"failed with exit code {self.code}"


class Budget:
    """Seconds for the whole run."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    @property
    def left(self) -> float:
        return max(0.0, self._end - self._clock())


def run(section: Section, seconds: float, on_row: Callable[[str, dict[str, Any]], None]) -> Outcome:
    """Runs a section for at most `seconds`; `on_row(name of the section, row)` for each row, when it comes."""
    start = time.monotonic()
    told: deque[str] = deque(maxlen=TAIL)
    wrong: list[str] = []
    process = subprocess.Popen(
        section.command,
        cwd=ROOT,
        env={**os.environ, **section.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # its children die with it
    )
    killed = threading.Event()

    def kill() -> None:
        killed.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(seconds, kill)
    timer.start()
    try:
        for line in process.stdout or ():
            kind, _, rest = line.rstrip("\n").partition(" ")
            if kind == "ROW":
                on_row(section.name, json.loads(rest))
            elif kind == "WRONG":
                wrong.append(rest)
            elif line.strip():
                told.append(line.rstrip())
        code = process.wait()
    finally:
        timer.cancel()
        if process.poll() is None:
            kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
    return Outcome(time.monotonic() - start, None if killed.is_set() else code, list(told), wrong)


def run_side_by_side(
    due: list[Section],
    seconds: Mapping[str, float],
    *,
    runner: Callable[..., Outcome] = run,
    on_row: Callable[[str, dict[str, Any]], None],
) -> Iterator[tuple[Section, Outcome]]:
    """Each section with its outcome, in order. Those that wait for others have their time limit cut by the wait."""
    if not due:
        return
    end = {section.name: time.monotonic() + seconds[section.name] for section in due}
    lock = threading.Lock()

    def locked(name: str, row: dict[str, Any]) -> None:
        with lock:
            on_row(name, row)

    def one(section: Section) -> Outcome:
        return runner(section, max(1.0, end[section.name] - time.monotonic()), locked)

    with ThreadPoolExecutor(min(len(due), MOST_AT_A_TIME, max(1, os.cpu_count() or 1))) as pool:
        yield from zip(due, pool.map(one, due), strict=True)


def marked_tests(folder: Path = ROOT / "tests") -> list[Path]:
    """The test files with a test marked `gpu`: others may import what a GPU's machine does not have."""
    return [p for p in sorted(folder.rglob("test_*.py")) if "mark.gpu" in p.read_text(encoding="utf-8")]


def sections(part: str) -> list[list[Section]]:
    """The steps of "prepare" or "measure"; the sections of one step run side by side."""
    if part == "prepare":
        warm = [Section("warm units", [*WORKER, "warm", "unit/all"], limit=120, least=20)]
        for group, names in CASE_GROUPS:
            together = names[0].startswith(COMPILED_ONCE)
            for title, some in [(group, names)] if together else [(name, (name,)) for name in names]:
                warm.append(Section(f"warm {title}", [*WORKER, "warm", *some], limit=150, least=20))
        smoke = Section("smoke tests", [*PYTEST, *SMOKE], limit=150, least=20)
        return [[Section("info", [*WORKER, "info"], limit=60, least=10)], [smoke, *warm]]
    steps = [
        [Section(f"cases {group}", [*WORKER, "cases", *names], limit=30 + 20 * len(names), least=20)]
        for group, names in CASE_GROUPS
    ]
    steps[5:5] = [
        [Section("units", [*WORKER, "units"], limit=60, least=15)],
        [Section("memory", [*WORKER, "memory"], limit=60, least=20)],
    ]
    last = [Section(f"gpu tests {p.stem}", [*PYTEST, str(p)], limit=240, least=30) for p in marked_tests()]
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is not None:
        flags = ["--error-exitcode", "9", "--target-processes", "all", *WORKER, "warm"]
        without_pool = {"CRYPSIS_GPU_CHECK_POOL": "0"}
        last += [
            Section(
                f"sanitizer {tool} {first // AT_A_TIME}",
                [sanitizer, "--tool", tool, *flags, *SANITIZED[first : first + AT_A_TIME]],
                limit=200,
                least=40,
                environment=without_pool,
            )
            for tool in ("memcheck", "racecheck", "synccheck")
            for first in range(0, len(SANITIZED), AT_A_TIME)
        ]
    return [*steps, last]  # nothing is timed any more: side by side
