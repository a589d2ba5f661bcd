# SPDX-License-Identifier: Apache-2.0
"""tools/cubin_gate.py: it refuses spills, changed tables and sources that do not compile; and what it measures of
the carry chains of kernels/common/arith.cuh. No GPU: the compilers make machine code for one."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from crypsis import ckks
from crypsis.cuda._bigint_kernels import shape_of
from crypsis.cuda._source import inline_includes

ROOT = Path(__file__).resolve().parent.parent


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cubin_gate", ROOT / "tools" / "cubin_gate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["cubin_gate"] = module  # its worker processes find it by name
    spec.loader.exec_module(module)
    return module


gate: Any = _load()
measuring: Any = sys.modules["cubin_measure"]
ARCHITECTURES = gate.ARCHITECTURES  # which tests change

SMALL = """extern "C" __global__ void __launch_bounds__(1024) small(u32* out) {
  __shared__ u32 memory[64];
  memory[threadIdx.x] = threadIdx.x;
  __syncthreads();
  out[threadIdx.x] = mul_hi(memory[63 - threadIdx.x], 3);
}
"""
# 200 live values, and 64 registers a thread at most.
SPILLS = """extern "C" __global__ void __launch_bounds__(1024) many(u32* out) {
  u32 x[200];
#pragma unroll
  for (int j = 0; j < 200; ++j) x[j] = out[j * 1024 + threadIdx.x];
  __syncthreads();
#pragma unroll
  for (int j = 0; j < 200; ++j) out[j * 1024 + threadIdx.x] = x[199 - j] * x[j];
}
"""
# Two rows of 32 limbs a turn, the even and the odd products of each; 32 products before the loop.
ROWS = """extern "C" __global__ void __launch_bounds__(128) products(u32* out, const u32* in) {
  u32 b[32], even[32], odd[32];
#pragma unroll
  for (int j = 0; j < 32; ++j) b[j] = in[j * 128 + threadIdx.x];
  mul_row<32>(even, b, in[4096]);
  mul_row<32>(odd, b + 1, in[4096]);
  u32 carries = 0;
#pragma unroll 1
  for (int i = 0; i < 64; i += 2) {
    carries += mad_row<32>(even, even, b, in[4097 + i]);
    carries += mad_row<32>(odd, odd, b + 1, in[4097 + i]);
    carries += mad_row<32>(even, even, b, in[4098 + i]);
    carries += mad_row<32>(odd, odd, b + 1, in[4098 + i]);
  }
#pragma unroll
  for (int j = 0; j < 32; ++j) out[j * 128 + threadIdx.x] = even[j] ^ odd[j] ^ carries;
}
"""


@pytest.fixture(params=["nvcc", "nvrtc"])
def compiler(request: pytest.FixtureRequest) -> str:
    try:
        measuring.compiler_version(gate.choose_compilers(request.param)[0])
        measuring.find_nvdisasm()
    except gate.GateError as error:
        pytest.skip(str(error))
    return str(request.param)


@pytest.fixture(autouse=True)
def architectures(monkeypatch: pytest.MonkeyPatch) -> None:
    """One architecture keeps the tests short; the gate itself has three."""
    assert gate.ARCHITECTURES == ("sm_80", "sm_90", "sm_100")
    monkeypatch.setattr(gate, "ARCHITECTURES", ("sm_90",))


@pytest.fixture
def kernels(tmp_path: Path) -> Path:
    root = tmp_path / "kernels"
    shutil.copytree(ROOT / "kernels" / "common", root / "common")
    (root / "demo").mkdir()
    return root


def declare(kernels: Path, source: str, **defines: int) -> None:
    (kernels / "demo" / "demo.cu").write_text(f'#include "common/arith.cuh"\n{source}')
    instance = {"source": "demo/demo.cu", "defines": defines}
    (kernels / "demo" / "instances.json").write_text(json.dumps({"only": instance}))


def run_gate(kernels: Path, compiler: str, *options: str) -> int:
    cache = str(kernels.parent / "cache")
    return int(gate.main(["--kernels", str(kernels), "--cache", cache, "--compiler", compiler, *options]))


def table(kernels: Path, compiler: str = "nvcc") -> Any:
    name = "resources.json" if compiler == "nvcc" else "resources-nvrtc.json"
    return json.loads((kernels / "demo" / name).read_text())["instances"]["only"]


@pytest.mark.parametrize("compiler", ["nvcc"], indirect=True)
def test_a_table_is_written_and_a_change_refused(
    kernels: Path, compiler: str, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(kernels, SMALL)
    assert run_gate(kernels, compiler) == 1
    assert "demo: no resources.json: run with --update and commit it" in capsys.readouterr().out
    assert run_gate(kernels, compiler, "--update") == 0
    assert list(table(kernels)) == ["sm_90"]
    needs = table(kernels)["sm_90"]["small"]
    assert needs["shared"] == 256
    assert needs["stack"] == needs["LDL"] == needs["STL"] == 0
    assert 0 < needs["registers"] < 64
    assert run_gate(kernels, compiler, "demo") == 0

    declare(kernels, SMALL.replace("[64]", "[128]"))
    capsys.readouterr()
    assert run_gate(kernels, compiler) == 1
    assert "demo only sm_90 small shared: 256 in the table, 512 now" in capsys.readouterr().out

    declare(kernels, SMALL.replace("small", "renamed"))
    assert run_gate(kernels, compiler) == 1
    assert "demo only sm_90 renamed registers: none in the table" in capsys.readouterr().out


def test_spills_are_refused_even_by_an_update(
    kernels: Path, compiler: str, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(kernels, SPILLS)
    assert run_gate(kernels, compiler, "--update") == 1
    assert "demo only sm_90: demo/demo.cu spills" in capsys.readouterr().out
    assert not (kernels / "demo" / "resources.json").exists()


def test_a_compile_error_names_the_file(
    kernels: Path, compiler: str, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(kernels, SMALL.replace("mul_hi", "mul_high"))
    assert run_gate(kernels, compiler) == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("demo only sm_90: kernels/demo/demo.cu(6): error: ")
    assert "mul_high" in first


def measured_rows(kernels: Path, compiler: str) -> dict[str, dict[str, int]]:
    declare(kernels, ROWS)
    assert run_gate(kernels, compiler, "--update") == 0
    return {architecture: entry["products"] for architecture, entry in table(kernels, compiler).items()}


def test_a_product_costs_one_wide_multiply_add(kernels: Path, compiler: str) -> None:
    for needs in measured_rows(kernels, compiler).values():
        assert 96 <= needs["IMAD.WIDE"] <= 100  # some more are addresses
        assert needs["stack"] == needs["LDL"] == needs["STL"] == 0
        assert needs["registers"] <= 128


@pytest.mark.parametrize(
    ("source", "defines"),
    [
        ("bigint/bigint.cu", {"LIMBS": 16, "TPI": 2}),
        ("hashing/hashing.cu", {"ALGORITHM": 2}),
        ("microbench/microbench.cu", {}),
        ("ntt/ntt.cu", {"LOG_N": 11}),
        ("ntt/ntt.cu", {"LOG_N": 15}),
        ("ntt/pointwise.cu", {}),
        ("rns/rns.cu", {"LOG_N": 11}),
        ("rns/rns.cu", {"LOG_N": 15}),
        ("rns/steps.cu", {}),
    ],
)
def test_kernels_compile_with_the_compiler_that_cupy_has(source: str, defines: dict[str, int]) -> None:
    """NVRTC refuses what nvcc takes, functions of the host among others; to PTX, which is quicker."""
    try:
        measuring.compiler_version(gate.choose_compilers("nvrtc")[0])
    except gate.GateError as error:
        pytest.skip(str(error))
    macros = tuple((name, str(value)) for name, value in defines.items())
    text = inline_includes(Path(source))
    measuring.compile_nvrtc(gate.Job("", "", source, text, macros, "compute_90"))


@pytest.mark.parametrize("slug", ["ntt", "rns"])
@pytest.mark.parametrize("name", ["resources.json", "resources-nvrtc.json"])
def test_every_degree_of_ckks_is_in_the_tables(slug: str, name: str) -> None:
    """No size that a preset uses is left out; of these degrees NVRTC, which GPUs run the code of, has all too."""
    folder = ROOT / "kernels" / slug
    declared = json.loads((folder / "instances.json").read_text())
    instances = json.loads((folder / name).read_text())["instances"]
    assert set(instances) == set(declared)
    assert {str(n) for n in range(10, 17)} <= set(instances)
    presets = (ckks.AGGREGATE, ckks.SHARED, ckks.JOINT, ckks.SHALLOW, ckks.DEEP)
    assert {str(preset.log_n) for preset in presets} <= set(instances)
    for architectures in instances.values():
        assert set(architectures) == set(ARCHITECTURES)
        assert all(needs["spills"] == 0 for kernels in architectures.values() for needs in kernels.values())


class InThisProcess:
    """Instead of a pool of processes, which see no patch of a test."""

    def __init__(self, *_: Any) -> None: ...
    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: Any) -> None: ...
    def submit(self, work: Any, job: Any) -> Any:
        made = work(job)
        return SimpleNamespace(result=lambda: made)


def test_nvrtc_takes_one_instance_of_each_source(
    kernels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside nvcc, with a table of its own: the two compilers' machine code differs."""
    compiled: list[tuple[str, str]] = []

    def measure(job: Any, *, tools: Any, **_: Any) -> Any:
        compiled.append((tools.compiler, job.instance))
        return {"small": {"registers": 10 if tools.compiler == "nvcc" else 12}}

    declare(kernels, SMALL)
    both = {name: {"source": "demo/demo.cu", "defines": {"N": name}} for name in ("a", "b")}
    (kernels / "demo" / "instances.json").write_text(json.dumps(both))
    monkeypatch.setattr(gate, "choose_compilers", lambda wanted: ["nvcc", "nvrtc"])
    monkeypatch.setattr(gate, "find_tools", lambda compiler: gate.Tools(compiler, "nvdisasm", "13.0"))
    monkeypatch.setattr(gate, "measure", measure)
    monkeypatch.setattr(gate, "ProcessPoolExecutor", InThisProcess)
    assert run_gate(kernels, "auto", "--update") == 0
    assert compiled == [("nvcc", "a"), ("nvcc", "b"), ("nvrtc", "a")]
    assert (
        "1 cubins with nvrtc 13.0 (demo a), 1 compiled, 0 as sealed, 0 problem(s)" in capsys.readouterr().out
    )
    assert run_gate(kernels, "auto") == 0
    path = kernels / "demo" / "resources-nvrtc.json"
    path.write_text(path.read_text().replace("12", "13"))
    assert run_gate(kernels, "auto") == 1
    assert "demo a sm_90 small registers: 13 in the table, 12 now" in capsys.readouterr().out


@pytest.fixture
def sealed(kernels: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Three instances whose table was just written. `compiled(*options)`: (exit code, what a run of the gate compiled);
    `versions` are the tools'."""
    compiled: list[str] = []
    state = SimpleNamespace(versions="13.0.88", registers=10)

    def measure(job: Any, **_: Any) -> Any:
        compiled.append(job.instance)
        return {"small": {"registers": state.registers}}

    def run(*options: str) -> tuple[int, list[str]]:
        compiled.clear()
        return run_gate(kernels, "auto", *options), compiled[:]

    declare(kernels, SMALL)
    names = {name: {"source": "demo/demo.cu", "defines": {"N": name}} for name in ("a", "b", "c")}
    (kernels / "demo" / "instances.json").write_text(json.dumps(names))
    monkeypatch.setattr(gate, "choose_compilers", lambda wanted: ["nvcc"])
    monkeypatch.setattr(gate, "find_tools", lambda compiler: gate.Tools(compiler, "nvdisasm", state.versions))
    monkeypatch.setattr(gate, "measure", measure)
    monkeypatch.setattr(gate, "ProcessPoolExecutor", InThisProcess)
    state.compiled = run
    assert run("--update") == (0, ["a", "b", "c"])
    return state


def test_one_of_the_sealed_instances_is_compiled(sealed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert sealed.compiled() == (0, ["a"])
    assert "3 cubins with nvcc 13.0 (every instance), 1 compiled, 2 as sealed, 0" in capsys.readouterr().out
    assert sealed.compiled("--all") == (0, ["a", "b", "c"])
    sealed.registers = 11  # the tools here do not give what they gave
    assert sealed.compiled()[0] == 1


@pytest.mark.parametrize("changed", ["source", "header", "define", "tools", "figures", "seal", "measuring"])
def test_no_seal_outlives_what_the_figures_come_of(
    sealed: Any, kernels: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    demo = kernels / "demo"

    def rewrite(name: str, old: str, new: str) -> None:
        text = (kernels / name).read_text()
        assert old in text
        (kernels / name).write_text(text.replace(old, new))

    found = ["a", "b", "c"]
    match changed:
        case "source":
            rewrite("demo/demo.cu", "[64]", "[128]")
        case "header":
            rewrite("common/arith.cuh", "{", "{ ")
        case "define":
            rewrite("demo/instances.json", '"N": "b"', '"N": "bb"')
            found = ["a", "b"]
        case "tools":
            sealed.versions = "13.0.89"
        case "figures":
            rewrite("demo/resources.json", '"registers": 10', '"registers": 9')
        case "seal":
            table = json.loads((demo / "resources.json").read_text())
            (demo / "resources.json").write_text(json.dumps({**table, "seals": {}}))
        case "measuring":
            monkeypatch.setattr(measuring, "__file__", str(kernels / "common" / "arith.cuh"))
    assert sealed.compiled() == (1 if changed == "figures" else 0, found)
    sealed.registers = 11
    assert sealed.compiled()[0] == 1


def test_the_committed_tables_are_sealed() -> None:
    """nvcc's for every instance, NVRTC's for those that it compiles beside nvcc."""
    for path in (ROOT / "kernels").glob("*/instances.json"):
        jobs = gate.jobs_of(path.parent.name, ROOT / "kernels")
        for name, some in (
            ("resources.json", jobs),
            ("resources-nvrtc.json", gate.first_of_each_source(jobs)),
        ):
            seals = gate.committed(path.parent / name).seals
            assert {job.instance for job in some} <= set(seals)
            for of in seals.values():
                assert set(of) == set(ARCHITECTURES)


def test_tools_are_told_apart_to_the_build(compiler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = gate.find_tools(compiler)
    assert tools == gate.find_tools(compiler)
    assert ("Build cuda_13.0" if compiler == "nvcc" else "nvidia-cuda-nvrtc 13.0.") in tools.versions
    assert "nvdisasm" in tools.versions
    monkeypatch.setenv("NVCC_APPEND_FLAGS", "-lineinfo")
    assert (gate.find_tools(compiler) == tools) is (compiler == "nvrtc")


@pytest.mark.slow
def test_both_compilers_give_the_same_rows(kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "ARCHITECTURES", ("sm_80", "sm_90", "sm_100"))
    try:
        for name in ("nvcc", "nvrtc"):
            measuring.compiler_version(gate.choose_compilers(name)[0])
        measuring.find_nvdisasm()
    except gate.GateError as error:
        pytest.skip(str(error))
    assert measured_rows(kernels, "nvcc") == measured_rows(kernels, "nvrtc")


@pytest.mark.slow
def test_bigint_spills_at_no_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has six sizes; a GPU compiles the one it is asked for."""
    try:
        measuring.compiler_version(gate.choose_compilers("auto")[0])
        measuring.find_nvdisasm()
    except gate.GateError as error:
        pytest.skip(str(error))
    shutil.copytree(ROOT / "kernels", tmp_path / "kernels")
    instances = {
        str(bits): {"source": "bigint/bigint.cu", "defines": shape_of(bits // 64).defines}
        for bits in range(256, 8193, 256)
    }
    (tmp_path / "kernels" / "bigint" / "instances.json").write_text(json.dumps(instances))
    options = ["--kernels", str(tmp_path / "kernels"), "--cache", str(tmp_path / "cache"), "--update"]
    assert gate.main([*options, "--compiler", gate.choose_compilers("auto")[0], "bigint"]) == 0, (
        capsys.readouterr().out
    )
    table = json.loads((tmp_path / "kernels" / "bigint" / "resources.json").read_text())
    assert set(table["instances"]) == set(instances)


def test_bad_arguments(kernels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gate.main(["--kernels", str(kernels), "nothing"]) == 2
    assert "no kernels/nothing/instances.json; there are: none" in capsys.readouterr().err


def test_the_log_of_a_compiler_is_not_written_into_bytes_of_the_interpreter() -> None:
    """NVRTC's empty log is one byte, and CPython keeps one object for each: the space was a zero from there on."""
    pytest.importorskip("cuda.bindings.nvrtc", reason="needs pip install 'crypsis[gate]'")
    everything = bytes(range(256))
    text = 'extern "C" __global__ void nothing() {}'
    for architecture in ("compute_90", "sm_90"):
        cubin, _ = measuring.compile_nvrtc(gate.Job("", "", "nothing.cu", text, (), architecture))
        assert cubin.startswith(b"\x7fELF") is (architecture == "sm_90")
    assert [everything[i : i + 1][0] for i in range(256)] == list(range(256))
