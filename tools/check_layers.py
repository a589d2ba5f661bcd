# SPDX-License-Identifier: Apache-2.0
"""Enforce the layers of the repository: who may include or import whom, and what every slug must bring.

    python tools/check_layers.py [ROOT]

Prints `file:line: what is wrong and what to do`, one a line; exits 1 if there is any, 2 where ROOT is no
checkout.
Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

SPDX = "SPDX-License-Identifier: Apache-2.0"
NOT_OURS = {"build", "dist", "wheelhouse", "demo"}  # at the top, with every hidden folder but .ci
SOURCES = {".py", ".pyi", ".h", ".hpp", ".cpp", ".cc", ".cu", ".cuh", ".cmake", ".sh", ".toml", ".proto"}
NAMED_SOURCES = {"CMakeLists.txt", "Makefile", ".ci/run"}
NATIVE = {".h", ".hpp", ".cpp", ".cc", ".cu", ".cuh"}
MAX_LINES = 500
SLUGS = "csrc/common/slugs.h"
# Generated files, whose length is not ours to choose. Vectors are data (.json): no limit covers them.
GENERATED = re.compile(r"(_pb2(_grpc)?\.pyi?|_tables?\.(h|cuh|py))$")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
PYTHON_HEADER = re.compile(r"^(Python\.h|pybind11/|numpy/|nanobind/|structmember\.h)")
CUDA_HEADER = re.compile(r"^(cuda|cublas|cufft|curand|nv|thrust/|cub/|device_launch)|\.cuh?$|(^|/)kernels/")
ISA_FLAG = re.compile(r"-m(avx|sse|sha|aes|bmi|adx|pclmul|vaes|vpclmul|gfni|fma|tune=|cpu=|arch=)\S*")
# The CMake commands that may carry an ISA flag; `set` for a variable that one of the others then uses.
ISA_COMMANDS = ("set_source_files_properties", "set_property", "set")
# Reading these runs code that the sender chose.
UNSAFE_FORMATS = ("pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve")
# Tests that types which pickle by a checked buffer of their own do so.
PICKLING_TESTS = re.compile(r"^tests/(test_ckks_\w+|compat/test_tenseal_\w+)\.py$")


@dataclass(frozen=True, order=True)
class Problem:
    """One broken rule."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


@dataclass(frozen=True)
class File:
    """A source file of the checkout: `path` is relative to the root, with forward slashes."""

    path: str
    text: str

    @property
    def suffix(self) -> str:
        return Path(self.path).suffix

    def lines(self) -> Iterator[tuple[int, str]]:
        return enumerate(self.text.splitlines(), start=1)

    def below(self, *folders: str) -> bool:
        return any(self.path.startswith(folder + "/") for folder in folders)


def files(root: Path) -> list[File]:
    """Every source file of our own below `root`, sorted."""
    found = []
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        top = relative.parts[0]
        hidden = top in NOT_OURS or (top.startswith(".") and top != ".ci") or "__pycache__" in relative.parts
        named = relative.as_posix() in NAMED_SOURCES or path.name == "CMakeLists.txt"
        if not hidden and path.is_file() and (path.suffix in SOURCES or named):
            found.append(File(relative.as_posix(), path.read_text(encoding="utf-8")))
    return found


def check_spdx(file: File) -> Iterator[Problem]:
    """The licence stands in the first lines of every source file."""
    if SPDX not in "\n".join(file.text.splitlines()[:3]):
        yield Problem(file.path, 1, f"no licence line: begin the file with '{SPDX}' in a comment")


def check_length(file: File) -> Iterator[Problem]:
    """A file reads in one sitting."""
    count = len(file.text.splitlines())
    if count > MAX_LINES and not GENERATED.search(file.path):
        yield Problem(file.path, MAX_LINES + 1, f"{count} lines: split it, the limit is {MAX_LINES}")


def check_includes(file: File) -> Iterator[Problem]:
    """csrc and kernels see neither each other nor Python; kernels also no host header (NVRTC has none)."""
    if file.suffix not in NATIVE or not file.below("csrc", "kernels"):
        return
    for number, line in file.lines():
        match = INCLUDE.match(line)
        if match is None:
            continue
        bracket, header = match.groups()
        if PYTHON_HEADER.search(header):
            layer = file.path.split("/")[0]
            yield Problem(file.path, number, f"{layer} includes {header}: Python belongs in bindings/src")
        elif file.below("csrc") and CUDA_HEADER.search(header):
            yield Problem(file.path, number, f"csrc includes {header}: CUDA belongs in kernels/")
        elif file.below("kernels") and bracket == "<":
            yield Problem(file.path, number, f"kernels include <{header}>: device code has no host headers")
        elif file.below("kernels") and not header.endswith(".cuh"):
            yield Problem(file.path, number, f'kernels include "{header}": only .cuh files of kernels/')


def _imports(file: File, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of every import, also inside functions; relative ones resolved."""
    package = _package(file.path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package[: len(package) - node.level + 1]
                base = ".".join([*parent, *([base] if base else [])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif _is_import_call(node) and isinstance(node.args[0], ast.Constant):
            yield node.lineno, str(node.args[0].value)


def _is_import_call(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not node.args:
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in ("import_module", "__import__")


def _package(path: str) -> list[str]:
    """The dotted package that a file of the checkout belongs to once installed."""
    folders = path.split("/")[:-1]
    for source, package in ((["bindings", "crypsis"], ["crypsis"]), (["mpc"], ["crypsis", "mpc"])):
        if folders[: len(source)] == source:
            return package + folders[len(source) :]
    return folders


def _is(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")


def check_imports(file: File) -> Iterator[Problem]:
    """The arrow of ARCHITECTURE section 1 between the Python layers, and no pickle."""
    if file.suffix not in (".py", ".pyi"):
        return
    try:
        tree = ast.parse(file.text)
    except SyntaxError as error:
        yield Problem(file.path, error.lineno or 1, f"does not parse: {error.msg}")
        return
    for line, name in _imports(file, tree):
        top = name.split(".")[0]
        if top in UNSAFE_FORMATS and not PICKLING_TESTS.match(file.path):
            yield Problem(file.path, line, f"imports {top}: it runs the sender's code; use a plain format")
        if file.below("bindings/crypsis") and _is(name, "crypsis.mpc"):
            yield Problem(file.path, line, f"imports {name}: kernels must not know the protocols")
        if file.below("mpc") and _is(name, "crypsis._core"):
            yield Problem(file.path, line, f"imports {name}: protocols use the public functions of crypsis")
        if file.below("mpc") and top in ("cupy", "cupyx"):
            yield Problem(file.path, line, f"imports {name}: CuPy belongs in bindings/crypsis")
        if file.below("tests/reference") and not _reference_may(name):
            yield Problem(file.path, line, f"imports {name}: a reference uses the standard library only")


def _reference_may(name: str) -> bool:
    top = name.split(".")[0]
    own = top == "reference" or _is(name, "tests.reference")
    return own or top == "gmpy2" or top in sys.stdlib_module_names


def check_flags(file: File) -> Iterator[Problem]:
    """ISA flags on single files only: an inline function emitted with AVX-512 code crashes older CPUs."""
    if not (file.suffix in (".cmake", ".toml", ".sh") or file.path.endswith(("CMakeLists.txt", "Makefile"))):
        return
    statement = ""
    for number, raw in file.lines():
        line = raw.split("#", 1)[0]
        opener = re.match(r"\s*(\w+)\s*\(", line)
        if opener:
            statement = opener.group(1)
        for match in ISA_FLAG.finditer(line):
            flag = match.group(0).rstrip('";)')
            if flag.startswith(("-march=", "-mtune=", "-mcpu=")):
                yield Problem(
                    file.path, number, f"{flag}: wheels run elsewhere; name the features of one file"
                )
            elif statement not in ISA_COMMANDS or "CMAKE_CXX_FLAGS" in line:
                yield Problem(
                    file.path, number, f"{flag}: set ISA flags with set_source_files_properties only"
                )


def check_slugs(root: Path, found: list[File]) -> Iterator[Problem]:
    """Every slug has its binding, registration, tests, reference, vectors and benchmark."""
    folders = {file.path.split("/")[1] for file in found if file.below("csrc") and file.path.count("/") >= 2}
    slugs = sorted(folders - {"common"})
    registered = _registered_slugs(root / SLUGS)
    for slug in slugs:
        home = f"csrc/{slug}"
        if slug not in registered:
            yield Problem(home, 1, f"slug is not in kSlugs of {SLUGS}")
        for pattern, what in (
            (f"csrc/{slug}/impl.h", "contract"),
            (f"bindings/src/bind_{slug}.cpp", "binding"),
            (f"bindings/crypsis/{slug}.py", "public module"),
            (f"tests/test_{slug}*.py", "test"),
            (f"tests/reference/{slug}*.py", "reference"),
            (f"tests/vectors/{slug}*.json", "test vectors"),
            (f"benchmarks/test_{slug}*.py", "benchmark"),
        ):
            if not any(root.glob(pattern)):
                yield Problem(home, 1, f"slug has no {what}: add {pattern}")
    for slug in sorted(registered - set(slugs)):
        yield Problem(SLUGS, 1, f"kSlugs names {slug}, but there is no csrc/{slug}")


def check_kernels(root: Path, found: list[File]) -> Iterator[Problem]:
    """Every slug with kernels brings what they are launched with, what they take of a GPU, and what bounds them."""
    sources = (file.path.split("/") for file in found if file.below("kernels") and file.suffix == ".cu")
    for slug in sorted({folders[1] for folders in sources if len(folders) > 2}):
        for name, what in (
            ("instances.json", "instances for the compile gate"),
            ("resources.json", "table of registers: run tools/cubin_gate.py --update"),
            ("resources-nvrtc.json", "table of registers: run tools/cubin_gate.py --update"),
            ("tuning.json", "launch shapes"),
            ("NOTES.md", "notes on operations, bytes and limits"),
        ):
            if not (root / "kernels" / slug / name).is_file():
                yield Problem(f"kernels/{slug}", 1, f"slug has no {what}: add kernels/{slug}/{name}")


def _registered_slugs(path: Path) -> set[str]:
    """The names in the initialiser of `kSlugs`; empty where the file or the array is missing."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    array = re.search(r"\bkSlugs\s*=[^{]*\{([^}]*)\}", text)
    return set(re.findall(r'"(\w+)"', array.group(1))) if array else set()


FILE_RULES: tuple[Callable[[File], Iterator[Problem]], ...] = (
    check_spdx,
    check_length,
    check_includes,
    check_imports,
    check_flags,
)


def problems(root: Path) -> list[Problem]:
    """Every broken rule below `root`, sorted by file and line."""
    found = files(root)
    broken = [problem for file in found for rule in FILE_RULES for problem in rule(file)]
    return sorted([*broken, *check_slugs(root, found), *check_kernels(root, found)])


def main(arguments: list[str]) -> int:
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    if not (root / "csrc").is_dir():
        print(f"{root} has no csrc folder: name the root of a checkout", file=sys.stderr)
        return 2
    broken = problems(root)
    for problem in broken:
        print(problem)
    print(f"check_layers: {len(broken)} problem(s)" if broken else "check_layers: ok")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
