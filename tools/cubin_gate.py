# SPDX-License-Identifier: Apache-2.0
"""Compile every kernel instance for sm_80, sm_90 and sm_100 and compare what it needs with the committed tables.

    python tools/cubin_gate.py [--update] [--all] [--compiler auto|nvcc|nvrtc] [SLUG ...]

A slug declares its instances in kernels/SLUG/instances.json:

    {"2048": {"source": "bigint/bigint.cu", "defines": {"LIMBS": 32, "THREADS": 2}}, ...}

and its table stands in kernels/SLUG/resources.json: for each instance, architecture and kernel the registers, the
stack frame, static shared memory, and the counts of the instructions that matter. Spills are never accepted; any
other difference is, by `--update` and a commit. Needs no GPU: nvcc, NVRTC or both, and nvdisasm (the extra `gate`, all
of CUDA 13.0). The two compilers do not give the same machine code for all kernels, though of one version, so NVRTC,
which is what GPUs run the code of, has tables of its own: kernels/SLUG/resources-nvrtc.json.

By default nvcc compiles every instance, and NVRTC, where it is installed too, the first instance of each source: that
it takes the text, and what comes of it. Where only one is installed, or is asked for, it compiles every instance.

A table has a seal for each instance and architecture: the hash of its figures with all that they come of, which is the
text with its includes, the options, the builds of the compilers and the disassembler, and tools/cubin_measure.py. Where
the seal is what it would be today the figures are what compiling would give, and only one such instance is compiled
again, to see that the tools work here. `--all` looks at no seal; nor does `--update`, which writes them.

Exits 1 on a difference, a spill or an error of the compiler, 2 where a tool is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools")]

from crypsis.cuda._source import inline_includes  # noqa: E402
from cubin_measure import (  # noqa: E402
    CUDA,
    GateError,
    Job,
    Kernels,
    MissingTool,
    Tools,
    choose_compilers,
    find_nvdisasm,
    find_tools,
    measure,
    seal,
)

__all__ = ["GateError", "Job", "MissingTool", "Tools", "find_nvdisasm", "find_tools", "main"]

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
PROCESSES = 2

Seals = dict[str, dict[str, str]]  # instance -> architecture -> seal


@dataclass
class Table:
    """A table: instance -> architecture -> kernels, and their seals."""

    instances: dict[str, dict[str, Kernels]] = field(default_factory=dict)
    seals: Seals = field(default_factory=dict)

    def add(self, job: Job, found: Kernels, sealed: str) -> None:
        self.instances.setdefault(job.instance, {})[job.architecture] = found
        self.seals.setdefault(job.instance, {})[job.architecture] = sealed

    def sealed(self, job: Job, tools: Tools) -> Kernels | None:
        """What the table has of the job, if compiling it would give that."""
        found = self.instances.get(job.instance, {}).get(job.architecture)
        if found is None or self.seals.get(job.instance, {}).get(job.architecture) != seal(job, tools, found):
            return None
        return found


def committed(path: Path) -> Table:
    """The table in a file; empty where there is none."""
    if not path.exists():
        return Table()
    content = json.loads(path.read_text(encoding="utf-8"))
    return Table(content["instances"], content.get("seals", {}))


def jobs_of(slug: str, kernels: Path) -> list[Job]:
    """Every instance of a slug for every architecture."""
    declared: Mapping[str, Mapping[str, object]] = json.loads((kernels / slug / "instances.json").read_text())
    jobs = []
    for instance, entry in declared.items():
        source = str(entry["source"])
        text = inline_includes(Path(source), root=kernels)
        defines = entry.get("defines", {})
        if not isinstance(defines, dict):
            raise GateError(f"{slug}/instances.json: defines of {instance} is no object")
        macros = tuple((str(name), str(value)) for name, value in sorted(defines.items()))
        jobs += [Job(slug, instance, source, text, macros, target) for target in ARCHITECTURES]
    return jobs


def first_of_each_source(jobs: list[Job]) -> list[Job]:
    """The jobs of one instance of each source, the first that is declared."""
    first: dict[str, str] = {}
    for job in jobs:
        first.setdefault(job.source, job.instance)
    return [job for job in jobs if first[job.source] == job.instance]


def differences(
    slug: str, old: Mapping[str, dict[str, Kernels]], new: Mapping[str, dict[str, Kernels]]
) -> list[str]:
    """One line for each figure that is not what the committed table says."""
    lines = []

    def flat(table: Mapping[str, dict[str, Kernels]]) -> dict[str, int]:
        return {
            f"{instance} {architecture} {kernel} {what}": figure
            for instance, targets in table.items()
            for architecture, kernels in targets.items()
            for kernel, needs in kernels.items()
            for what, figure in needs.items()
        }

    before, after = flat(old), flat(new)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            lines.append(
                f"{slug} {name}: {before.get(name, 'none')} in the table, {after.get(name, 'none')} now"
            )
    return lines


def check(slug: str, new: Table, path: Path, *, update: bool, every: bool) -> list[str]:
    """The differences with the committed table in `path`, of the instances of `new` alone unless these are `every` one;
    `update` writes the table instead."""
    old = committed(path)
    if update:
        whole = new if every else Table(old.instances | new.instances, old.seals | new.seals)
        path.write_text(render(whole), encoding="utf-8")
        return []
    if not path.exists():
        return [f"{slug}: no {path.name}: run with --update and commit it"]
    before = old.instances
    return differences(
        slug,
        before if every else {key: before[key] for key in before.keys() & new.instances.keys()},
        new.instances,
    )


def render(table: Table) -> str:
    """The table as JSON, a kernel a line."""
    lines = []
    for instance, targets in sorted(table.instances.items()):
        rows = []
        for architecture in ARCHITECTURES:
            cells = [
                f"      {json.dumps(k)}: {json.dumps(n)}" for k, n in sorted(targets[architecture].items())
            ]
            rows.append(f"    {json.dumps(architecture)}: {{\n" + ",\n".join(cells) + "\n    }")
        lines.append(f"  {json.dumps(instance)}: {{\n" + ",\n".join(rows) + "\n  }")
    seals = ",\n".join(f"  {json.dumps(name)}: {json.dumps(of)}" for name, of in sorted(table.seals.items()))
    return f'{{"cuda": "{CUDA}", "seals": {{\n{seals}\n}}, "instances": {{\n' + ",\n".join(lines) + "\n}}\n"


def run(arguments: argparse.Namespace) -> int:
    kernels = Path(arguments.kernels).resolve()
    declared = sorted(path.parent.name for path in kernels.glob("*/instances.json"))
    slugs = arguments.slugs or declared
    if unknown := set(slugs) - set(declared):
        raise GateError(
            f"no kernels/{min(unknown)}/instances.json; there are: {', '.join(declared) or 'none'}"
        )
    jobs = [job for slug in slugs for job in jobs_of(slug, kernels)]
    problems = 0
    for number, compiler in enumerate(choose_compilers(arguments.compiler)):
        some = jobs if number == 0 else first_of_each_source(jobs)
        found, told = compile_and_check(
            find_tools(compiler), some, slugs, kernels, arguments, every=some is jobs
        )
        instances = sorted({f"{job.slug} {job.instance}" for job in some})
        which = "every instance" if some is jobs else ", ".join(instances)
        for problem in found:
            print(problem)
        print(
            f"cubin_gate: {len(some)} cubins with {compiler} {CUDA} ({which}), {told}, {len(found)} problem(s)"
        )
        problems += len(found)
    return 1 if problems else 0


def compile_and_check(
    tools: Tools,
    jobs: list[Job],
    slugs: list[str],
    kernels: Path,
    arguments: argparse.Namespace,
    *,
    every: bool,
) -> tuple[list[str], str]:
    """The problems of the jobs with one compiler, and how many of them were compiled."""
    name = "resources.json" if tools.compiler == "nvcc" else "resources-nvrtc.json"
    tables = {slug: Table() for slug in slugs}
    due = jobs
    if not (arguments.all or arguments.update):
        due = unsealed(jobs, tools, {slug: committed(kernels / slug / name) for slug in slugs}, tables)
    work = partial(measure, tools=tools, cache=Path(arguments.cache))
    problems: list[str] = []
    broken: set[str] = set()
    with ProcessPoolExecutor(PROCESSES) as pool:
        for job, future in [(job, pool.submit(work, job)) for job in due]:
            try:
                found = future.result()
                tables[job.slug].add(job, found, seal(job, tools, found))
            except GateError as error:
                broken.add(job.slug)
                problems.append(str(error))
    for slug in slugs:
        if slug not in broken:
            path = kernels / slug / name
            problems += check(slug, tables[slug], path, update=arguments.update, every=every)
    return problems, f"{len(due)} compiled, {len(jobs) - len(due)} as sealed"


def unsealed(jobs: list[Job], tools: Tools, old: Mapping[str, Table], new: Mapping[str, Table]) -> list[Job]:
    """The jobs to compile: those without a good seal, and the shortest of the others. The rest go into `new`."""
    good = {job: found for job in jobs if (found := old[job.slug].sealed(job, tools)) is not None}
    witness = min(good, key=lambda job: len(job.text), default=None)
    for job, found in good.items():
        if job != witness:
            new[job.slug].add(job, found, "")
    return [job for job in jobs if job not in good or job == witness]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("slugs", nargs="*", metavar="SLUG", help="all that declare instances by default")
    parser.add_argument("--update", action="store_true", help="write the tables; commit them with the change")
    parser.add_argument("--all", action="store_true", help="compile what the seals say is unchanged too")
    parser.add_argument("--compiler", choices=("auto", "nvcc", "nvrtc"), default="auto")
    parser.add_argument("--kernels", default=str(ROOT / "kernels"), help="the folder of the slugs")
    parser.add_argument("--cache", default=str(ROOT / "build" / "cubin_gate"), help="measurements by text")
    try:
        return run(parser.parse_args(arguments))
    except GateError as error:
        print(f"cubin_gate: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
