# SPDX-License-Identifier: Apache-2.0
"""`make gpu-check`: everything that needs a GPU, in one command without network, the most valuable rows first.

    python tools/gpu_check.py [--minutes 8.5] [--only SECTION ...] [--commit HASH]

Builds the checkout with this very Python into build/gpu-check/site (pip, scikit-build-core, pybind11 and cmake must be
there; nothing is downloaded), then runs each section as a process of its own with a time limit: what fails or hangs
costs its own rows only, and what no longer fits the budget is skipped and said so. Rows go to
benchmarks/results/gpu-<model>.json, written anew after every section, and to $OUT where that is set.

Exits 1 where there is no GPU (one line says what is missing), an answer was wrong or a section failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "gpu-check"
SITE = BUILD / "site"
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from gpu_report import Report, table  # noqa: E402
from gpu_sections import Budget, Outcome, Section, run, run_side_by_side, sections  # noqa: E402

WHY_NOT = """
import importlib.metadata as metadata, sys
metadata.version = lambda name: "unbuilt"
sys.path.insert(0, sys.argv[1])
from crypsis.cuda import why_not
print(why_not() or "")
"""


def say(text: str) -> None:
    print(f"gpu-check: {text}", flush=True)


def missing() -> str | None:
    """What a GPU needs and is not here, in one line; None where all is. Asked before anything is built."""
    command = [sys.executable, "-c", WHY_NOT, str(ROOT / "bindings")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["crypsis.cuda does not import"])[-1]
    return done.stdout.strip() or None


def build_section() -> Section:
    """The package as a wheel would have it, in a folder that PYTHONPATH then names: no environment is touched."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
    ]
    command += ["--disable-pip-version-check", "--upgrade", "--target", str(SITE), str(ROOT)]
    return Section("build", command, limit=240, least=60)


def environment() -> dict[str, str]:
    """Of every section: the build first on the path, kernels compiled once for all processes."""
    path = os.pathsep.join(filter(None, [str(SITE), os.environ.get("PYTHONPATH", "")]))
    cores = str(os.cpu_count() or 1)
    return {
        **os.environ,
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        "CUPY_CACHE_DIR": str(BUILD / "kernels"),
        "CMAKE_BUILD_PARALLEL_LEVEL": os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", cores),
    }


def check(
    plan: list[list[Section]],
    budget: Budget,
    report: Report,
    *,
    runner: Callable[..., Outcome] = run,
    tell: Callable[[str], None] = say,
) -> None:
    """Runs each step of the plan, the sections of one step side by side, within the budget; the report after each."""
    for step in plan:
        due = []
        for section in step:
            if budget.left < section.least:
                tell(
                    f"{section.name}: skipped, {budget.left:.0f} s are left and it takes {section.least:.0f}"
                )
                report.skip(section.name, budget.left, section.least)
            else:
                due.append(section)
        seconds = {section.name: min(section.limit, budget.left) for section in due}
        for section, outcome in run_side_by_side(due, seconds, runner=runner, on_row=report.row):
            report.add(section, outcome)
            tell(f"{section.name}: {outcome.verdict} in {outcome.seconds:.0f} s")
            for line in outcome.told if not outcome.good else ():
                tell(f"  {line}")
            report.write()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8.5, help="the whole run, the build included")
    parser.add_argument("--only", nargs="*", default=[], help="sections by the begin of their names")
    parser.add_argument("--commit", default="", help="where the checkout has no .git: the commit it is of")
    options = parser.parse_args(arguments)
    reason = missing()
    if reason is not None:
        say(reason)
        return 1
    budget = Budget(60 * options.minutes)
    shutil.rmtree(SITE, ignore_errors=True)
    report = Report(ROOT / "benchmarks" / "results", os.environ.get("OUT"), commit=options.commit)
    preparing = [[build_section()], *sections("prepare")]
    every = [step for step in sections("measure") if step]
    if options.only:
        every = [[s for s in step if s.name.startswith(tuple(options.only))] for step in every]
    os.environ.update(environment())
    check(preparing, budget, report)
    if report.good:  # what does not build or computes wrongly is not measured
        check([step for step in every if step], budget, report)
    report.write()
    print(table(report.content))
    for path in report.paths:
        say(f"rows in {path}")
    say("all answers right" if report.good else f"FAILED: {', '.join(report.failures)}")
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
