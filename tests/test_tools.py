# SPDX-License-Identifier: Apache-2.0
"""The tools: every layer rule fires on a planted violation, pip's wheel is checked, benchmark data is as stated."""

from __future__ import annotations

import hashlib
import http.server
import importlib.util
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
SPDX = "SPDX-License-Identifier: Apache-2.0"


def load(path: str) -> ModuleType:
    """A module of the checkout that is no part of the package."""
    name = "crypsis_" + path.replace("/", "_").removesuffix(".py")
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


check_layers = load("tools/check_layers.py")
pip_wheel = load("tools/pip_wheel.py")


# ---- check_layers


KERNEL_FILES = ("instances.json", "resources.json", "resources-nvrtc.json", "tuning.json", "NOTES.md")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The smallest checkout without a problem: one slug, `toy`."""
    for path, text in {
        "csrc/common/threads.h": "",
        "csrc/toy/impl.h": '#include <cstdint>\n#include "common/threads.h"\n',
        "csrc/toy/sources.cmake": 'set_source_files_properties(a.cpp PROPERTIES COMPILE_OPTIONS "-mavx2")\n',
        "kernels/toy/toy.cu": '#include "common/arith.cuh"\n',
        "bindings/src/bind_toy.cpp": "#include <pybind11/pybind11.h>\n",
        "csrc/common/slugs.h": 'auto kSlugs = std::to_array<std::string_view>({\n    "toy",\n});\n',
        "bindings/crypsis/toy.py": "from crypsis import _core\n",
        "mpc/psi/ecdh.py": "from crypsis import toy\nfrom . import messages\n",
        "tests/test_toy.py": "",
        "tests/reference/toy.py": "import hashlib\n",
        "benchmarks/test_toy.py": "",
    }.items():
        plant(tmp_path, path, text)
    (tmp_path / "tests/vectors").mkdir()
    for path in ("tests/vectors/toy.json", *(f"kernels/toy/{name}" for name in KERNEL_FILES)):
        (tmp_path / path).write_text("{}")
    return tmp_path


def plant(root: Path, path: str, text: str, *, licence: bool = True) -> None:
    comment = "//" if Path(path).suffix in check_layers.NATIVE else "#"
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text((f"{comment} {SPDX}\n" if licence else "") + text)


def test_clean_tree_passes(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_layers.main([str(tree)]) == 0
    assert capsys.readouterr().out == "check_layers: ok\n"


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("csrc/toy/a.cpp", "\n#include <Python.h>\n", "csrc/toy/a.cpp:3: csrc includes Python.h"),
        ("csrc/toy/a.h", "#  include <pybind11/numpy.h>\n", "csrc/toy/a.h:2: csrc includes pybind11/numpy.h"),
        ("csrc/toy/a.cpp", "#include <cuda_runtime.h>\n", "csrc/toy/a.cpp:2: csrc includes cuda_runtime.h"),
        (
            "csrc/toy/a.cpp",
            '#include "../kernels/toy/t.cuh"\n',
            "csrc/toy/a.cpp:2: csrc includes ../kernels/",
        ),
        ("kernels/toy/b.cu", "#include <cstdint>\n", "kernels/toy/b.cu:2: kernels include <cstdint>"),
        ("kernels/toy/b.cuh", '#include "common/threads.h"\n', "kernels/toy/b.cuh:2: kernels include"),
        ("kernels/toy/b.cu", '#include "Python.h"\n', "kernels/toy/b.cu:2: kernels includes Python.h"),
        (
            "bindings/crypsis/a.py",
            "import crypsis.mpc.psi\n",
            "bindings/crypsis/a.py:2: imports crypsis.mpc.psi",
        ),
        (
            "bindings/crypsis/a.py",
            "from crypsis import mpc\n",
            "bindings/crypsis/a.py:2: imports crypsis.mpc",
        ),
        ("bindings/crypsis/a.py", "from . import mpc\n", "bindings/crypsis/a.py:2: imports crypsis.mpc"),
        (
            "bindings/crypsis/x/a.py",
            "from ..mpc import psi\n",
            "bindings/crypsis/x/a.py:2: imports crypsis.mpc",
        ),
        ("mpc/a.py", "def f():\n    from crypsis import _core\n", "mpc/a.py:3: imports crypsis._core"),
        ("mpc/psi/a.py", "from ... import _core\n", "mpc/psi/a.py:2: imports crypsis._core"),
        ("mpc/a.py", "from .. import _core\n", "mpc/a.py:2: imports crypsis._core"),
        ("mpc/a.py", "from crypsis._core import x\n", "mpc/a.py:2: imports crypsis._core.x"),
        ("mpc/a.py", "import cupy as cp\n", "mpc/a.py:2: imports cupy"),
        ("mpc/a.py", "import importlib\nimportlib.import_module('cupy')\n", "mpc/a.py:3: imports cupy"),
        ("tests/reference/a.py", "import numpy\n", "tests/reference/a.py:2: imports numpy"),
        ("tests/reference/a.py", "from crypsis import toy\n", "tests/reference/a.py:2: imports crypsis.toy"),
        ("tests/test_a.py", "import pickle\n", "tests/test_a.py:2: imports pickle"),
        ("mpc/a.py", "from pickle import loads\n", "mpc/a.py:2: imports pickle"),
        ("mpc/a.py", "def f(:\n", "mpc/a.py:2: does not parse"),
        ("mpc/a.py", "x = 1\n" * 500, "mpc/a.py:501: 501 lines"),
        ("CMakeLists.txt", "add_compile_options(-march=native)\n", "CMakeLists.txt:2: -march=native"),
        ("CMakeLists.txt", "add_compile_options(\n  -mavx2)\n", "CMakeLists.txt:3: -mavx2"),
        ("CMakeLists.txt", 'set(CMAKE_CXX_FLAGS "-msha")\n', "CMakeLists.txt:2: -msha"),
        (
            "csrc/toy/x.cmake",
            "target_compile_options(toy PRIVATE -mavx512f)\n",
            "csrc/toy/x.cmake:2: -mavx512f",
        ),
        ("csrc/new/impl.h", "", "csrc/new:1: slug has no test: add tests/test_new*.py"),
        ("csrc/new/impl.h", "", "csrc/new:1: slug has no reference: add tests/reference/new*.py"),
        ("csrc/new/impl.h", "", "csrc/new:1: slug has no test vectors: add tests/vectors/new*.json"),
        ("csrc/new/impl.h", "", "csrc/new:1: slug has no benchmark: add benchmarks/test_new*.py"),
        ("csrc/new/impl.h", "", "csrc/new:1: slug has no binding: add bindings/src/bind_new.cpp"),
        ("csrc/new/impl.h", "", "csrc/new:1: slug is not in kSlugs of csrc/common/slugs.h"),
        (
            "csrc/common/slugs.h",
            'auto kSlugs = std::to_array<std::string_view>({"toy", "gone"});\n',
            "csrc/common/slugs.h:1: kSlugs names gone, but there is no csrc/gone",
        ),
    ],
)
def test_rule_fires(
    tree: Path, path: str, text: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(tree, path, text)
    assert check_layers.main([str(tree)]) == 1
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize("name", KERNEL_FILES)
def test_kernels_come_with_their_shapes_tables_and_notes(
    tree: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "kernels/toy" / name).unlink()
    assert check_layers.main([str(tree)]) == 1
    assert re.search(rf"kernels/toy:1: slug has no .*: add kernels/toy/{name}", capsys.readouterr().out)


@pytest.mark.parametrize(
    "path", ["mpc/a.py", "csrc/toy/a.cpp", "tools/a.sh", "Makefile", "kernels/toy/b.cuh"]
)
def test_licence_line_is_required(tree: Path, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    plant(tree, path, "\n", licence=False)
    assert check_layers.main([str(tree)]) == 1
    assert f"{path}:1: no licence line" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (".venv/lib/a.py", "import pickle\n"),
        ("build/x/a.py", "import pickle\n"),
        ("mpc/transport/messages_pb2.py", "x = 1\n" * 700),
        ("mpc/a.py", "import crypsis.core_of_it\nimport cupyish\n"),
        ("tests/reference/a.py", "import gmpy2\nfrom reference import toy\nfrom . import toy\n"),
        ("csrc/toy/a.cmake", 'set(flags "-mavx2;-mbmi2")\n# -march=native would be wrong\n'),
    ],
)
def test_rule_does_not_fire(tree: Path, path: str, text: str) -> None:
    plant(tree, path, text)
    assert check_layers.main([str(tree)]) == 0


def test_no_checkout_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_layers.main([str(tmp_path)]) == 2
    assert "no csrc folder" in capsys.readouterr().err


# ---- pip_wheel

WHEEL = b"stands for a wheel"
PAGE = """<a href="../../f/pip-9.0-py2.py3-none-any.whl#sha256=00">old</a>
<a href="../../f/pip-24.0-py3-none-any.whl#sha256={good}" data-requires-python="&gt;=3.7">fits</a>
<a href="../../f/pip-25.9-py3-none-any.whl" data-requires-python="&gt;=3.9">no hash</a>
<a href="../../f/pip-26.0b1-py3-none-any.whl#sha256={good}">not released</a>
<a href="../../f/pip-27.0-py3-none-any.whl#sha256={good}" data-yanked="">yanked</a>
<a href="../../f/pip-99.0-py3-none-any.whl#sha256={good}" data-requires-python="&gt;=3.99">too new</a>"""


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A package index on loopback; its page is in the dictionary. PIP_INDEX_URL names it."""
    state = {"page": PAGE.format(good=hashlib.sha256(WHEEL).hexdigest())}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = {"/simple/pip/": state["page"].encode(), "/f/pip-24.0-py3-none-any.whl": WHEEL}.get(
                self.path
            )
            self.send_response(200 if body else 404)
            self.end_headers()
            self.wfile.write(body or b"")
            state["authorization"] = self.headers.get("Authorization", "")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:pa%40ss@127.0.0.1:{server.server_port}/simple")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def test_newest_fitting_pip_is_downloaded(index: dict[str, str], tmp_path: Path) -> None:
    wheel = pip_wheel.download(tmp_path)
    assert wheel.name == "pip-24.0-py3-none-any.whl"
    assert wheel.read_bytes() == WHEEL
    assert index["authorization"] == "Basic bWU6cGFAc3M="  # me:pa@ss


def test_wrong_sha256_is_refused(index: dict[str, str], tmp_path: Path) -> None:
    index["page"] = PAGE.format(good="0" * 64)
    with pytest.raises(pip_wheel.PipError, match="does not have the sha256"):
        pip_wheel.download(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("page", ["<html></html>", ""])
def test_index_without_pip_is_named_without_its_password(
    index: dict[str, str], page: str, tmp_path: Path
) -> None:
    index["page"] = page
    with pytest.raises(pip_wheel.PipError, match=r"127\.0\.0\.1") as caught:
        pip_wheel.download(tmp_path)
    assert "pa%40ss" not in str(caught.value)


def test_pip_conf_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://example.invalid/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    assert pip_wheel.setting("index-url") == "https://example.invalid/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://other.invalid")
    assert pip_wheel.setting("index-url") == "https://other.invalid"


# ---- benchmarks


def test_parties_have_the_overlap_that_was_asked_for() -> None:
    data = load("benchmarks/data.py")
    alice, bob = data.parties(3_000, 500, 200, seed=7)
    ids = [set(table["id"].to_pylist()) for table in (alice, bob)]
    assert [len(one) for one in ids] == [3_000, 500]
    assert len(ids[0] & ids[1]) == 200
    for one in ids[0] | ids[1]:
        values = [10 if character == "X" else int(character) for character in one]
        assert len(one) == 18
        assert sum(value * 2 ** (17 - i) for i, value in enumerate(values)) % 11 == 1  # [ISO 7064, MOD 11-2]
    again, _ = data.parties(3_000, 500, 200, seed=7)
    assert again.equals(alice)
    assert not data.parties(3_000, 500, 200, seed=8)[0].equals(alice)
    assert data.parties(0, 0, 0)[0].num_rows == 0
    with pytest.raises(ValueError, match="n_common is 6"):
        data.parties(10, 5, 6)


def test_measurement_row_has_ratio_and_share() -> None:
    rows = load("benchmarks/rows.py")
    ours, theirs = rows.Timing([1.0, 2.0, 3.0]), rows.Timing([4.0, 4.0, 9.0])
    limit = rows.Limit(100.0, "a limit")
    row = rows.Measurement("x", 50, "items", ours, {"peer": theirs}, limit).as_row()
    assert row["per_second"] == 25.0
    assert row["seconds_iqr"] == 1.0
    assert row["peers"]["peer"]["ratio"] == 3.0  # of 4/1, 4/2, 9/3
    assert row["limit"]["percent"] == 25.0
