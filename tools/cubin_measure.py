# SPDX-License-Identifier: Apache-2.0
"""What a kernel needs once it is machine code: registers, stack, shared memory, instructions. For tools/cubin_gate.py.

A measurement is a function of the text, the options, the versions of the compiler and the disassembler, and this file:
`key` is the hash of all of them, and `seal` that of the key with the figures that were found.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

CUDA = "13.0"  # newer PTX is refused by the drivers in use
COUNTED = ("IMAD.WIDE", "LDL", "STL")
INSTALL = f"pip install nvidia-cuda-nvrtc=={CUDA}.* cuda-bindings=={CUDA}.* nvidia-cuda-nvdisasm"

_ENTRY = re.compile(r"Compiling entry function '(\w+)'")
_FUNCTION = re.compile(r"Function properties for (\w+)")
_FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers(?:.*?(\d+) bytes smem)?")
_SECTION = re.compile(r"^\s*\.section\s+\.text\.(\w+)")
_INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:\{\s*)?(?:@!?U?P\w+\s+)?U?([A-Z][A-Z0-9_.]*)")

Kernels = dict[str, dict[str, int]]  # kernel -> what it needs


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


@dataclass(frozen=True)
class Tools:
    """A compiler and the disassembler. versions: all that decides what they answer, to the build."""

    compiler: str
    nvdisasm: str
    versions: str


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
    """The version of `compiler` to the build, CUDA 13.0 or an error: "13.0 Build cuda_13.0.r13.0/..."."""
    if compiler == "nvcc":
        text = _said("nvcc", "--version")
        match = re.search(r"release (\d+\.\d+)", text)
        version, build = match.group(1) if match else "unknown", text
    else:
        from cuda.bindings import nvrtc  # type: ignore[import-untyped,unused-ignore]

        version = "{1}.{2}".format(*nvrtc.nvrtcVersion())
        build = " ".join(_distribution(name) for name in ("nvidia-cuda-nvrtc", "cuda-bindings"))
    if version != CUDA:
        raise GateError(f"{compiler} is of CUDA {version}: the tables are for {CUDA}; {INSTALL}")
    return f"{version} {build}"


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _distribution(name: str) -> str:
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return f"{name} from elsewhere {os.urandom(16).hex()}"  # of no known version: equals no other


def find_tools(compiler: str) -> Tools:
    """The compiler, the disassembler and their versions. nvcc's own headers include those of the host's compiler, and
    it takes flags from the environment."""
    nvdisasm = find_nvdisasm()
    versions = [compiler_version(compiler), _said(nvdisasm, "--version"), platform.machine()]
    if compiler == "nvcc":
        versions.append(_said(os.environ.get("NVCC_CCBIN", "g++"), "--version").splitlines()[0])
        versions += [os.environ.get(f"NVCC_{where}_FLAGS", "") for where in ("PREPEND", "APPEND")]
    return Tools(compiler, nvdisasm, "\n".join(versions))


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
        # It takes bytes and writes into them. Never one: CPython has each single byte once, for everybody.
        buffer = b" " * (size[1] + 2)
        fill(program, buffer)  # type: ignore[operator]
        return buffer[: size[1]]

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


def key(job: Job, tools: Tools) -> str:
    """The hash of all that the measurement depends on."""
    parts = (tools.compiler, tools.versions, job.source, job.options, job.text)
    return hashlib.sha256(Path(__file__).read_bytes() + repr(parts).encode()).hexdigest()[:32]


def seal(job: Job, tools: Tools, kernels: Kernels) -> str:
    """The hash of the measurement and of all that it depends on."""
    figures = json.dumps(kernels, sort_keys=True)
    return hashlib.sha256(f"{key(job, tools)} {figures}".encode()).hexdigest()[:32]


def measure(job: Job, *, tools: Tools, cache: Path) -> Kernels:
    """What each kernel of the job needs; read from the cache where this was measured before."""
    kept = cache / f"{key(job, tools)}.json"
    if kept.exists():
        found: Kernels = json.loads(kept.read_text())
        return found
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cubin, log = compile_nvcc(job, folder) if tools.compiler == "nvcc" else compile_nvrtc(job)
        where = f"{job.slug} {job.instance} {job.architecture}"
        kernels, spilled = read_log(log)
        if spilled:
            raise GateError(f"{where}: {job.source} spills {spilled} bytes of registers: use fewer")
        if not kernels:
            raise GateError(f"{where}: {job.source} has no kernels")
        (folder / "read.cubin").write_bytes(cubin + b"\0")  # some NVRTC bindings drop the last byte
        command = [tools.nvdisasm, "-c", str(folder / "read.cubin")]
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
