# SPDX-License-Identifier: Apache-2.0
"""Compile every kernel instance for sm_80, sm_90 and sm_100 and compare what it needs with the committed tables.

    python tools/cubin_gate.py [--update] [--compiler auto|nvcc|nvrtc] [SLUG ...]

A slug declares its instances in kernels/SLUG/instances.json:

    {"2048": {"source": "bigint/bigint.cu", "defines": {"LIMBS": 32, "THREADS": 2}}, ...}

and its table stands in kernels/SLUG/resources.json: for each instance, architecture and kernel the registers, the
stack frame, static shared memory, and the counts of the instructions that matter. Spills are never accepted; any
other difference is, by `--update` and a commit. Needs no GPU: nvcc, NVRTC or both, and nvdisasm (the extra `gate`, all
of CUDA 13.0). The two compilers do not give the same machine code for all kernels, though of one version, so NVRTC,
which is what GPUs run the code of, has tables of its own: kernels/SLUG/resources-nvrtc.json.

By default nvcc compiles every instance, and NVRTC, where it is installed too, the first instance of each source: that
it takes the text, and what comes of it. Where only one is installed, or is asked for, it compiles every instance.

Exits 1 on a difference, a spill or an error of the compiler, 2 where a tool is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from crypsis.cuda._source import inline_includes

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
CUDA = "13.0"  # newer PTX is refused by the drivers in use
COUNTED = ("IMAD.WIDE", "LDL", "STL")
PROCESSES = 2
INSTALL = f"pip install nvidia-cuda-nvrtc=={CUDA}.* cuda-bindings=={CUDA}.* nvidia-cuda-nvdisasm"

_ENTRY = re.compile(r"Compiling entry function '(\w+)'")
_FUNCTION = re.compile(r"Function properties for (\w+)")
_FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers(?:.*?(\d+) bytes smem)?")
_SECTION = re.compile(r"^\s*\.section\s+\.text\.(\w+)")
_INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:\{\s*)?(?:@!?U?P\w+\s+)?U?([A-Z][A-Z0-9_.]*)")

Kernels = dict[str, dict[str, int]]  # kernel -> what it needs
Table = dict[str, dict[str, Kernels]]  # instance -> architecture -> kernels


class GateError(Exception):
    """The gate cannot answer; one line that says why."""


class MissingTool(GateError):
    """A compiler or disassembler is not installed."""


@dataclass(frozen=True)
class Job:
    """One instance for one architecture: the text with its includes."""

    slug: str
    instance: str
    source: str
    text: str
    defines: tuple[tuple[str, str], ...]
    architecture: str

    @property
    def options(self) -> list[str]:
        macros = [f"-D{name}={value}" for name, value in self.defines]
        return [f"-arch={self.architecture}", "-std=c++17", "--ptxas-options=-v", *macros]


def find_nvdisasm() -> str:
    """The disassembler: of the package from PyPI, else of a CUDA toolkit."""
    spec = importlib.util.find_spec("nvidia")
    for folder in spec.submodule_search_locations or [] if spec else []:
        for found in sorted(Path(folder).glob("*/bin/nvdisasm")):
            return str(found)
    path = shutil.which("nvdisasm")
    if path is None:
        raise MissingTool(f"no nvdisasm: {INSTALL}")
    return path


def compiler_version(compiler: str) -> str:
    """The version of `compiler`, CUDA 13.0 or an error: "13.0"."""
    if compiler == "nvcc":
        text = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
        match = re.search(r"release (\d+\.\d+)", text)
        version = match.group(1) if match else "unknown"
    else:
        from cuda.bindings import nvrtc  # type: ignore[import-untyped,unused-ignore]

        version = "{1}.{2}".format(*nvrtc.nvrtcVersion())
    if version != CUDA:
        raise GateError(f"{compiler} is of CUDA {version}: the tables are for {CUDA}; {INSTALL}")
    return version


def choose_compilers(wanted: str) -> list[str]:
    """What is installed of nvcc and nvrtc, nvcc first; the wanted one alone, unless that is "auto"."""
    nvcc = shutil.which("nvcc") is not None
    nvrtc = importlib.util.find_spec("cuda") is not None
    nvrtc = nvrtc and importlib.util.find_spec("cuda.bindings") is not None
    there = [name for name, found in (("nvcc", nvcc), ("nvrtc", nvrtc)) if found and wanted in ("auto", name)]
    if there:
        return there
    raise MissingTool(f"no {'nvcc or nvrtc' if wanted == 'auto' else wanted}: {INSTALL}")


def first_error(job: Job, log: str) -> str:
    """The compiler's first error; its file is a line of the log already, or the source."""
    for line in log.splitlines():
        if re.search(r"\b(error|fatal)\b", line):
            return f"{job.slug} {job.instance} {job.architecture}: {line.strip()}"
    return f"{job.slug} {job.instance} {job.architecture}: {job.source} does not compile: {log.strip()[:300]}"


def compile_nvcc(job: Job, folder: Path) -> tuple[bytes, str]:
    """(cubin, ptxas log)"""
    source, cubin = folder / Path(job.source).name, folder / "out.cubin"
    source.write_text(job.text, encoding="utf-8")
    command = ["nvcc", "-cubin", *job.options, str(source), "-o", str(cubin)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GateError(first_error(job, done.stderr + done.stdout))
    return cubin.read_bytes(), done.stderr + done.stdout


def compile_nvrtc(job: Job) -> tuple[bytes, str]:
    """(cubin, ptxas log)"""
    from cuda.bindings import nvrtc  # type: ignore[import-untyped,unused-ignore]

    def ask(size: tuple[object, int], fill: object, program: object) -> bytes:
        buffer = b" " * size[1]
        fill(program, buffer)  # type: ignore[operator]
        return buffer

    _, program = nvrtc.nvrtcCreateProgram(job.text.encode(), job.source.encode(), 0, [], [])
    options = [option.encode() for option in job.options]
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    log = ask(nvrtc.nvrtcGetProgramLogSize(program), nvrtc.nvrtcGetProgramLog, program)
    text = log.rstrip(b"\0 \n").decode(errors="replace")
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise GateError(first_error(job, text))
    return ask(nvrtc.nvrtcGetCUBINSize(program), nvrtc.nvrtcGetCUBIN, program), text


def read_log(log: str) -> tuple[Kernels, int]:
    """(registers, stack and shared bytes of each kernel, spill bytes of all functions together)."""
    kernels: Kernels = {}
    spilled, current, function = 0, "", ""
    for line in log.splitlines():
        if match := _ENTRY.search(line):
            current = match.group(1)
        elif match := _FUNCTION.search(line):
            function = match.group(1)
        elif match := _FRAME.search(line):
            frame, stores, loads = map(int, match.groups())
            spilled += stores + loads
            if function == current:  # not a function that was kept out of line
                kernels[current] = {"stack": frame, "spills": stores + loads}
        elif match := _USED.search(line):
            kernels[current] |= {"registers": int(match.group(1)), "shared": int(match.group(2) or 0)}
    return kernels, spilled


def count_instructions(listing: str) -> Kernels:
    """How often each kernel has each kind of COUNTED, and all instructions but the padding."""
    counts: Kernels = {}
    current: dict[str, int] | None = None
    for line in listing.splitlines():
        if match := _SECTION.match(line):
            current = counts.setdefault(match.group(1), dict.fromkeys(("instructions", *COUNTED), 0))
        elif current is not None and (match := _INSTRUCTION.search(line)):
            name = match.group(1)
            current["instructions"] += name != "NOP"
            for kind in COUNTED:
                current[kind] += name == kind or name.startswith(kind + ".")
    return counts


def measure(job: Job, *, compiler: str, version: str, nvdisasm: str, cache: Path) -> Kernels:
    """What each kernel of the job needs; read from the cache where this text was measured before."""
    own = Path(__file__).read_bytes()
    parts = (compiler, version, Path(nvdisasm).stat().st_size, job.source, job.options, job.text)
    key = hashlib.sha256(own + repr(parts).encode()).hexdigest()[:32]
    kept = cache / f"{key}.json"
    if kept.exists():
        found: Kernels = json.loads(kept.read_text())
        return found
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cubin, log = compile_nvcc(job, folder) if compiler == "nvcc" else compile_nvrtc(job)
        where = f"{job.slug} {job.instance} {job.architecture}"
        kernels, spilled = read_log(log)
        if spilled:
            raise GateError(f"{where}: {job.source} spills {spilled} bytes of registers: use fewer")
        if not kernels:
            raise GateError(f"{where}: {job.source} has no kernels")
        (folder / "read.cubin").write_bytes(cubin + b"\0")  # some NVRTC bindings drop the last byte
        command = [nvdisasm, "-c", str(folder / "read.cubin")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GateError(f"{where}: nvdisasm: {done.stderr.strip()}")
    counts = count_instructions(done.stdout)
    result = {kernel: needs | counts[kernel] for kernel, needs in sorted(kernels.items())}
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=cache, delete=False) as file:
        json.dump(result, file)
    Path(file.name).replace(kept)
    return result


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


def differences(slug: str, old: Table, new: Table) -> list[str]:
    """One line for each figure that is not what the committed table says."""
    lines = []

    def flat(table: Table) -> dict[str, int]:
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


def check(slug: str, new: Table, kernels: Path, *, name: str, update: bool, every: bool) -> list[str]:
    """The differences with the committed table `name`, of the instances of `new` alone unless these are `every` one;
    `update` writes the table instead."""
    path = kernels / slug / name
    old: Table = json.loads(path.read_text())["instances"] if path.exists() else {}
    if update:
        path.write_text(render(new if every else old | new), encoding="utf-8")
        return []
    if not path.exists():
        return [f"{slug}: no {name}: run with --update and commit it"]
    return differences(slug, old if every else {key: old[key] for key in old.keys() & new.keys()}, new)


def render(table: Table) -> str:
    """The table as JSON, a kernel a line."""
    lines = []
    for instance, targets in sorted(table.items()):
        rows = []
        for architecture in ARCHITECTURES:
            cells = [
                f"      {json.dumps(k)}: {json.dumps(n)}" for k, n in sorted(targets[architecture].items())
            ]
            rows.append(f"    {json.dumps(architecture)}: {{\n" + ",\n".join(cells) + "\n    }")
        lines.append(f"  {json.dumps(instance)}: {{\n" + ",\n".join(rows) + "\n  }")
    return f'{{"cuda": "{CUDA}", "instances": {{\n' + ",\n".join(lines) + "\n}}\n"


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
        found = compile_and_check(compiler, some, slugs, kernels, arguments, every=some is jobs)
        instances = sorted({f"{job.slug} {job.instance}" for job in some})
        which = "every instance" if some is jobs else ", ".join(instances)
        for problem in found:
            print(problem)
        print(f"cubin_gate: {len(some)} cubins with {compiler} {CUDA} ({which}), {len(found)} problem(s)")
        problems += len(found)
    return 1 if problems else 0


def compile_and_check(
    compiler: str,
    jobs: list[Job],
    slugs: list[str],
    kernels: Path,
    arguments: argparse.Namespace,
    *,
    every: bool,
) -> list[str]:
    """The problems of the jobs with one compiler."""
    version = compiler_version(compiler)
    work = partial(
        measure, compiler=compiler, version=version, nvdisasm=find_nvdisasm(), cache=Path(arguments.cache)
    )
    problems: list[str] = []
    tables: dict[str, Table] = {slug: {} for slug in slugs}
    broken: set[str] = set()
    with ProcessPoolExecutor(PROCESSES) as pool:
        for job, future in [(job, pool.submit(work, job)) for job in jobs]:
            try:
                tables[job.slug].setdefault(job.instance, {})[job.architecture] = future.result()
            except GateError as error:
                broken.add(job.slug)
                problems.append(str(error))
    name = "resources.json" if compiler == "nvcc" else "resources-nvrtc.json"
    for slug in slugs:
        if slug not in broken:
            problems += check(slug, tables[slug], kernels, name=name, update=arguments.update, every=every)
    return problems


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("slugs", nargs="*", metavar="SLUG", help="all that declare instances by default")
    parser.add_argument("--update", action="store_true", help="write the tables; commit them with the change")
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
