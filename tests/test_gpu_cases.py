# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of `make gpu-check` on the shim: every case and unit, answers checked; limits; docs/gpu.md's table."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import gpu_table  # noqa: E402
from benchmarks.gpu import cases, limits, memory, units, worker  # noqa: E402
from crypsis.cuda._modules import source_text  # noqa: E402
from crypsis.cuda._registry import registered  # noqa: E402
from crypsis.cuda._signature import kernels_of  # noqa: E402
from crypsis.errors import DeviceMemoryError  # noqa: E402
from cuda_on_cpu.device import ShimDevice  # noqa: E402
from gpu_report import with_limit  # noqa: E402

SIZED = ("bigint", "paillier", "ntt", "rns", "ckks", "psi")
"""Slugs whose cases take the tests' bits."""


def small(case: cases.Case) -> tuple[int, int]:
    """Items and bits that a CPU does in an instant."""
    return case.least, cases.TEST_BITS if case.name.startswith(SIZED) else case.bits


# ---- cases and units ----------------------------------------------------------------------------------------------


@pytest.fixture
def device() -> Any:
    with registered(ShimDevice()) as shim:
        yield shim


@pytest.mark.parametrize("name", cases.CASES)
def test_a_case_gives_a_row_with_right_answers(device: ShimDevice, name: str) -> None:
    case = cases.CASES[name]
    items, bits = small(case)
    row = worker.measure(device, case, items, None, rounds=1, round_seconds=0, bits=bits)
    assert row["name"] == name
    assert row["checked"] >= 1
    assert row["kernel"]["per_second"] > 0
    assert json.loads(json.dumps(row)) == row
    assert worker.warm(device, name, few=items, bits=bits)["checked"] >= 1


WITHOUT = """
import sys
for name in ("blake3", "cryptography", "gmpy2", "hypothesis", "phe", "pydantic", "xdist", "yaml"):
    sys.modules[name] = None
from benchmarks.gpu import cases, worker
from crypsis.cuda._registry import registered
from cuda_on_cpu.device import ShimDevice
with registered(ShimDevice()) as device:
    for name in ("psi/vole", "psi/ecdh", "ckks/multiply/13"):
        print(worker.warm(device, name, few=cases.CASES[name].least, bits=cases.TEST_BITS)["checked"])
"""


def test_cases_need_no_package_that_a_gpu_machine_may_lack() -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["100", "10", "3"], done.stderr


@pytest.mark.parametrize("name", ["bigint/mod_mul/2048", "hashing/sha256/16", "paillier/decrypt/2048"])
def test_a_wrong_answer_is_seen(device: ShimDevice, name: str) -> None:
    case = cases.CASES[name]
    work = case.prepare(device, *small(case))
    result = work.resident()
    host = result if isinstance(result, np.ndarray) else device.to_host(result)
    host[-1] ^= 1
    with pytest.raises(units.WrongAnswer, match="row"):
        work.check(host)


def test_a_worker_says_which_answer_was_wrong(device: ShimDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    wrong = units.UNITS[2]
    monkeypatch.setattr(
        units, "UNITS", [units.Unit(wrong.name, "", 1, "", lambda t, rounds: np.zeros(len(t), np.uint32))]
    )
    assert worker.main(["warm", "unit/all"], device, told.append) == worker.WRONG
    assert len(told) == 1
    assert re.match(r"WRONG microbench/imad: thread 0 has 0x[0-9a-f]+, not 0x0", told[0])


def test_every_unit_computes_what_it_says(device: ShimDevice) -> None:
    told: list[str] = []
    assert worker.main(["warm", "unit/all"], device, told.append) == 0
    assert json.loads(told[0].removeprefix("ROW "))["checked"] > 1024 * (len(units.UNITS) - 1)


def test_a_gpu_finds_the_kernels_of_the_units_in_their_source() -> None:
    """There the text is read as it is: names and parameters must not be made by macros."""
    found = kernels_of(source_text(Path("microbench/microbench.cu")))
    assert {name: len(parameters) for name, parameters in found.items()} == {
        **{unit.name: 4 for unit in units.UNITS},
        "copy16": 3,
        "nothing": 1,
    }


def test_a_unit_has_a_row(device: ShimDevice) -> None:
    row = worker.units.measure(device, units.UNITS[2], rounds=1, launches=1)
    assert (row["name"], row["instruction"], row["per_clock_per_sm"]) == (
        "unit/imad",
        "IMAD",
        None,
    )  # no clock here


def test_memory_rows(device: ShimDevice) -> None:
    rows = list(memory.rows(device, n_bytes=1 << 12, launches=2, rounds=1, round_seconds=0))
    names = ["up/pinned", "down/pinned", "device", "up/from_host", "down/to_host"]
    assert [row["name"] for row in rows] == [
        *(f"copy/{n}" for n in names),
        "launch/queued",
        "launch/waited",
    ]
    assert all(row["per_second"] > 0 for row in rows)


def test_a_batch_that_does_not_fit_is_halved(device: ShimDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def measured(_: Any, case: cases.Case, items: int, *__: Any, **___: Any) -> dict[str, int]:
        asked.append(items)
        if items > 300:
            raise DeviceMemoryError("full")
        return {"items": items}

    monkeypatch.setattr(worker, "measure", measured)
    case = cases.Case("x", "items", 0, 1000, 1, limits.mul(256), lambda *_: None)  # type: ignore[arg-type]
    assert worker.fitting(device, case, None, rounds=1, round_seconds=0) == {"items": 250}
    assert asked == [1000, 500, 250]
    never = cases.Case("x", "items", 0, 100000, 1, limits.mul(256), lambda *_: None)  # type: ignore[arg-type]
    with pytest.raises(DeviceMemoryError):
        worker.fitting(device, never, None, rounds=1, round_seconds=0)


# ---- limits and times ---------------------------------------------------------------------------------------------


def test_limits_are_those_of_the_h100() -> None:
    """The figures of an H100 SXM: 132 multiprocessors at 1.98 GHz."""
    for need, told in (
        (limits.mul(2048), 1.01e9),
        (limits.mul(4096), 2.54e8),
        (limits.powm(2048, 2048), 5.2e5),
        (limits.comb(4096, 1024, 8), 2.0e6),
        (limits.powm(2048, 1024, times=2), 5.1e5),
        (limits.compression("sha256", 16), 1.63e10),
        (limits.compression("blake3", 16), 3.67e10),
    ):
        assert need.per_second(132, 1.98e9) == pytest.approx(told, rel=0.03)
    assert limits.mul(2048).per_second(132, 1.98e9, 64) == pytest.approx(2.02e9, rel=0.01)


def test_the_lesser_of_unit_and_memory_is_the_limit() -> None:
    both = limits.Need("wide", 100, "", 1000)
    assert both.per_second(132, 2e9, bandwidth=1e12) == 1e9
    assert both.per_second(132, 2e9, bandwidth=1e15) == both.per_second(132, 2e9) == 132 * 2e9 * 32 / 100
    assert limits.bit_transpose().per_second(132, 2e9, bandwidth=3.2e12) == 1e11


def test_a_limit_by_memory_is_told() -> None:
    rated = {"kernel": {"per_second": 5e10}, "sm_mhz": {"median": 1700.0}}
    need = {"unit": "bytes", "per_item": 0, "what": "w", "n_bytes": 32}
    device = {"max_sm_mhz": 1980, "multiprocessors": 132, "memory_bytes_per_second": 3.2e12}
    row = with_limit({**rated, "need": need}, device, {"bytes": 2e12})
    assert row["limit"] == {
        "per_second": 1e11,
        "percent": 50,
        "what": "3.2e+12 bytes a second / 32 an item: w",
    }
    assert row["limit_measured"]["percent"] == 80
    unknown = with_limit({**rated, "need": need}, device | {"memory_bytes_per_second": None}, {})
    assert unknown["limit"] is unknown["limit_measured"] is None
    json.dumps(unknown, allow_nan=False)
    both = with_limit({**rated, "need": {**need, "unit": "wide", "per_item": 1e3}}, device, {"wide": 30.0})
    assert both["limit"]["what"].startswith("132 multiprocessors x 1980 MHz x 32 wide a clock / 1000 an item")
    assert both["limit_measured"]["percent"] == pytest.approx(100 * 5e10 / (132 * 1.7e9 * 30 / 1e3))


# ---- the page -----


def test_the_page_has_the_table_of_its_sources(tmp_path: Path) -> None:
    assert gpu_table.main([]) == 0, "run tools/gpu_table.py --update and commit it"
    shown = {row.case.split("/")[0] for row in gpu_table.ROWS}
    assert shown == {name.split("/")[0] for name in cases.CASES}
    rows = [
        {"name": "aes/mmo", "kernel": {"per_second": 1.234e10}},
        {"name": "copy/device", "per_second": 3e12},
    ]
    (tmp_path / "gpu-h100-80gb-hbm3.json").write_text(json.dumps({"rows": rows}))
    (tmp_path / "gpu-l4.json").write_text(json.dumps({"rows": [{**rows[0], "kernel": {"per_second": 1.0}}]}))
    assert gpu_table.measured(tmp_path) == {"aes/mmo": 1.234e10}
    line = next(line for line in gpu_table.table({"aes/mmo": 1.234e10}).splitlines() if "`aes/mmo`" in line)
    assert line.endswith("| 1.2e10 |")


def test_predictions_do_not_pass_the_limits() -> None:
    for row in gpu_table.ROWS:
        if (
            row.predicted is not None and "fixed_base_vartime" not in row.case
        ):  # of wider windows than its limit
            limit = cases.CASES[row.case].need.per_second(132, 1.98e9, bandwidth=3.35e12)
            assert row.predicted <= limit, row.case
