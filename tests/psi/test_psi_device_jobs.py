# SPDX-License-Identifier: Apache-2.0
"""Jobs between files with one party's bins on a device, the shim: outputs are those of two CPUs, bins are spread over
several devices, and a job whose device is lost goes on without it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cli.parties import Scene, ended
from crypsis import cuda
from crypsis.cuda._registry import registered
from crypsis.errors import BackendUnavailable, ConfigError, DeviceError, DeviceMemoryError
from crypsis.mpc.cli.psi_run import summary
from crypsis.mpc.jobs.executors import InlineExecutor
from crypsis.mpc.place import HOST, Place
from crypsis.mpc.psi import bins, files
from crypsis.mpc.psi.config import load_config
from crypsis.mpc.psi.devices import Devices, find_devices, parse_devices
from crypsis.mpc.psi.files import run_job
from crypsis.mpc.psi.options import PsiOptions
from cuda_on_cpu.device import ShimDevice

from .devices import LostDevice, shims, small_voles
from .pair import WAIT_S, spawn

BANK, TELCO = PARTIES = ("bank", "telco")
N, N_COMMON = 6000, 2500
BIN_ROWS = 1024
N_BINS = 6


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Ids 0..5999 at the bank, 3500..9499 at the telco; six bins."""
    small_voles(monkeypatch)
    made = Scene(tmp_path)
    made.table(BANK, 0, N)
    made.table(TELCO, N - N_COMMON, N)
    configure(made)
    return made


def configure(scene: Scene, device: str = "cpu", **fields: Any) -> None:
    """The bank's bins on `device`."""
    common = {"protocol": "vole", "bin_rows": BIN_ROWS, "patience": 60, **fields}
    scene.config(BANK, **{**common, "device": device})
    output = None if common.get("broadcast") is False else {"path": "telco.out.parquet"}
    report = {"report": "telco.report.json"} if output is None else {}
    scene.config(TELCO, **{**common, "output": output, **report})


def run(scene: Scene, progress: Any = None, **overrides: Any) -> tuple[Future[Any], Future[Any]]:
    """Both parties to their ends; `overrides` are flags of the bank's."""
    given = {BANK: overrides, TELCO: {}}
    told = {BANK: progress, TELCO: None}
    futures = [
        spawn(
            lambda party=party: run_job(
                load_config(str(scene.folder / f"{party}.json"), given[party]), progress=told[party]
            )
        )
        for party in PARTIES
    ]
    for future in futures:
        future.exception(WAIT_S)
    return futures[0], futures[1]


def check_output(scene: Scene, *, aligned: bool = True) -> None:
    """The rows of the ids 3500..5999, at both parties in one order."""
    bank = pq.read_table(scene.folder / "bank.out.parquet")
    assert sorted(bank["bank_number"].to_pylist()) == list(range(N - N_COMMON, N))
    if aligned:
        assert bank["id"].equals(pq.read_table(scene.folder / "telco.out.parquet")["id"])


@pytest.mark.parametrize(
    ("security", "broadcast"), [("semi-honest", True), ("malicious", True), ("semi-honest", False)]
)
def test_a_job_on_a_device(scene: Scene, security: str, broadcast: bool) -> None:
    sent = []
    for device in ("cpu", "cuda:0"):
        configure(scene, device, security=security, broadcast=broadcast)
        with shims("cuda:0") as (shim,):
            bank, telco = (future.result().as_dict() for future in run(scene))
            assert bool(shim.launches) == (device != "cpu")
        check_output(scene, aligned=broadcast)
        assert bank["counts"]["matched_keys"] == N_COMMON
        assert bank["device"]["used"] == [device]
        assert bank["device"]["bins"] == {device: bank["bins"]["outer"]} == {device: N_BINS}
        assert telco["device"] == {
            "asked": "cpu",
            "used": ["cpu"],
            "models": [],
            "why": "named in the configuration",
            "bins": {"cpu": N_BINS},
        }
        sent.append([report["traffic"]["payload_bytes_sent"] for report in (bank, telco)])
        for path in scene.folder.glob("*.out.parquet*"):
            path.unlink()
    slack = 40 * N_BINS  # numbers in the drivers' words have one digit or two
    assert all(abs(there - here) < slack for here, there in zip(*sent, strict=True))


def test_bins_are_spread_over_two_devices(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "ProcessExecutor", InlineExecutor)  # the shim is of this process
    real, places, both_load = bins._load, set(), threading.Event()

    def load(job: bins.BinJob, place: Place, bin: int) -> Any:
        """The worker that is here first waits for the other one: it could do all bins before that."""
        if place is not HOST:
            places.add(id(place))
            if len(places) == 2:
                both_load.set()
            assert both_load.wait(WAIT_S)
        return real(job, place, bin)

    monkeypatch.setattr(bins, "_load", load)
    configure(scene, "cuda:0,cuda:1", workers=2)
    with shims("cuda:0", "cuda:1") as devices:
        bank, _ = (future.result() for future in run(scene))
        assert all(Counter(launch.kernel for launch in device.launches)["decode"] for device in devices)
    check_output(scene)
    spread = bank.as_dict()["device"]
    assert spread["used"] == ["cuda:0", "cuda:1"]
    assert sorted(spread["bins"]) == ["cuda:0", "cuda:1"]
    assert sum(spread["bins"].values()) == N_BINS


# ---- what `device` may say


def test_auto_says_which_and_why(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    with shims("cuda:0", "cuda:1"):
        bank = run(scene, lambda phase, done, total: told.append(phase), device="auto")[0].result()
        why = "2 GPUs can be used, and there is one worker"
        assert (bank.devices.used, bank.devices.why) == (("cuda:0",), why)
        assert f"device cuda:0 (CPU shim): {why}" in told
        assert f"device         cuda:0 (CPU shim) ({why})" in summary(bank, None)
    monkeypatch.setattr(cuda, "why_not", lambda: "no NVIDIA driver: libcuda.so.1 is not there")
    for path in scene.folder.glob("*.out.parquet*"):
        path.unlink()
    bank = run(scene, lambda phase, done, total: told.append(phase), device="auto")[0].result()
    check_output(scene)
    why = "no GPU can be used: no NVIDIA driver: libcuda.so.1 is not there"
    assert bank.as_dict()["device"] == {
        "asked": "auto",
        "used": ["cpu"],
        "models": [],
        "why": why,
        "bins": {"cpu": N_BINS},
    }
    assert f"device cpu: {why}" in told


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cpu", ("cpu",)),
        ("auto", ("auto",)),
        ("cuda", ("cuda:0",)),
        ("cuda:3", ("cuda:3",)),
        ("cuda:1, cuda", ("cuda:1", "cuda:0")),
    ],
)
def test_names_of_devices(text: str, names: tuple[str, ...]) -> None:
    assert parse_devices(text) == names


@pytest.mark.parametrize(
    "text",
    ["", "gpu", "cuda:", "cuda:-1", "cuda:01", "CUDA", "cpu,cuda:0", "auto,cuda:0", "cuda,cuda:0", "cuda:0,"],
)
def test_what_is_no_device(text: str, scene: Scene) -> None:
    with pytest.raises(ConfigError, match="device is"):
        parse_devices(text)
    with pytest.raises(ConfigError, match="device"):
        load_config(str(scene.folder / "bank.json"), {"device": text})
    with pytest.raises(ConfigError, match="device is"):
        PsiOptions(role="receiver", keys=(), device=text)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"device": "cuda:0,cuda:1"}, "workers is 1"),
        ({"device": "cuda:0,cuda:1", "workers": 2, "protocol": "ecdh"}, "protocol ecdh works on one GPU"),
        ({"device": "cuda:0", "executor": "ray"}, "executor is ray"),
        ({"device": "auto", "executor": "ray"}, "executor is ray"),
    ],
)
def test_what_does_not_go_together(scene: Scene, fields: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        load_config(str(scene.folder / "bank.json"), fields)


def test_more_devices_than_workers_in_memory() -> None:
    with shims("cuda:0", "cuda:1"), pytest.raises(ConfigError, match="workers is 1"):
        find_devices("cuda:0,cuda:1")


def test_what_each_worker_is_told() -> None:
    two = Devices("cuda:0,cuda:1", ("cuda:0", "cuda:1"), ("A", "B"))
    with shims("cuda:0", memory_bytes=3000), shims("cuda:1", memory_bytes=1000):
        assert two.by_worker(2) == [{"device": "cuda:0", "room": 3000}, {"device": "cuda:1", "room": 1000}]
        assert [given["room"] for given in two.by_worker(3)] == [1500, 500]
    assert Devices("cpu").by_worker(1) == [{"device": "cpu", "room": None}]
    one = two.first("protocol ecdh works on one")
    assert (str(two), str(one)) == ("cuda:0 (A), cuda:1 (B)", "cuda:0 (A)")
    assert one.why == "named in the configuration; protocol ecdh works on one"
    assert one.first("again") is one


@pytest.mark.parametrize(
    "reason",
    [
        "no NVIDIA driver: libcuda.so.1 is not there",
        "CuPy is not installed: pip install it",
        "cuda:0 (Tesla T4) has compute capability 7.5: the kernels need 8.0",
    ],
)
def test_a_device_that_cannot_be_used(scene: Scene, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    """Told before the peer is dialled, and no other device is taken instead."""
    config = load_config(str(scene.folder / "bank.json"), {"device": "cuda:0"})
    monkeypatch.setattr("crypsis.cuda._cupy.why_not", lambda: reason)
    with pytest.raises(BackendUnavailable, match=f"cuda:0: {re.escape(reason)}"):
        run_job(config)
    assert scene.left_over() == []


# ---- a device that does not last


def loses(device: LostDevice, after: int) -> Any:
    """A progress callback that pulls the device out once so many bins are done."""

    def told(phase: str, done: int, total: int) -> None:
        if phase == "exchange bins" and done == after:
            device.lasts = 0

    return told


@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
def test_a_job_whose_device_is_lost_goes_on_with_the_cpu(scene: Scene, security: str) -> None:
    configure(scene, "cuda:0", security=security)
    with registered(LostDevice()) as device:
        bank, telco = run(scene, loses(device, 2))
    error = bank.exception()
    assert type(error) is DeviceError
    assert "cuda:0" in str(error)
    assert f"{scene.folder}/bank.out.parquet.work" in str(error)
    assert "the same command with `--device cpu` goes on from there" in str(error)
    assert telco.exception() is not None
    assert "fallen off" not in str(telco.exception())  # the peer learns the kind of failure only
    assert not (scene.folder / "bank.out.parquet").exists()

    bank, telco = run(scene, device="cpu")
    report = bank.result().as_dict()
    check_output(scene)
    assert 2 <= report["bins"]["finished_before"] < N_BINS
    assert report["device"]["bins"] == {"cpu": N_BINS - report["bins"]["finished_before"]}
    assert telco.result().outcome.n_matched == N_COMMON


def test_a_worker_that_finds_no_device_says_how_to_go_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that is started again, in a new process, once the device is lost."""

    def gone(name: str, room: int | None) -> Any:
        raise BackendUnavailable(f"{name}: no CUDA device is visible")

    monkeypatch.setattr("crypsis.mpc.psi.bins.place_named", gone)
    configure(scene, "cuda:0")
    told: list[str] = []
    with shims("cuda:0"):
        error = run(scene, lambda phase, done, total: told.append(phase))[0].exception()
    assert type(error) is BackendUnavailable
    assert "no CUDA device is visible; what is finished is kept in" in str(error)
    assert "device cuda:0 (CPU shim): named in the configuration" in told
    told.clear()
    error = run(scene, lambda phase, done, total: told.append(phase), device="cpu")[0].exception()
    assert "what is finished" not in str(error)
    assert told
    assert not any(phase.startswith("device") for phase in told)


def test_a_device_that_is_too_small(scene: Scene) -> None:
    configure(scene, "cuda:0")
    with registered(ShimDevice(memory_bytes=4 << 20)):
        bank, telco = run(scene)
    assert not list(scene.folder.glob("bank.out.parquet.work/spills/*"))  # told before the input is read
    error = bank.exception()
    assert isinstance(error, DeviceMemoryError)
    assert "cuda:0 has 4,1" in str(error)
    assert "needs" in str(error)
    assert "--device cpu" in str(error)
    assert telco.exception() is not None
    bank, _ = run(scene, device="cpu")
    assert bank.result().outcome.n_matched == N_COMMON
    check_output(scene)


def test_ecdh_says_how_to_begin_anew(scene: Scene) -> None:
    configure(scene, "cuda:0", protocol="ecdh", bin_rows=None)
    with registered(LostDevice()) as device:

        def told(phase: str, done: int, total: int) -> None:
            if phase == "agree":
                device.lasts = 0

        bank, telco = run(scene, told, batch_size=1000)
    assert type(bank.exception()) is DeviceError
    assert "protocol ecdh keeps nothing" in str(bank.exception())
    assert telco.exception() is not None
    bank, _ = run(scene, device="cpu")
    check_output(scene)


# ---- the command

PARTY = """
import sys
from contextlib import nullcontext
sys.path[:0] = {paths!r}
from crypsis.cuda._registry import registered
from crypsis.mpc.ot.silent_vole import insecure_parameters
from crypsis.mpc.psi.layout import Layout
from cuda_on_cpu.device import ShimDevice
Layout.parameters = property(lambda self: insecure_parameters(9, 7, 16))
from crypsis.mpc.cli import main
with registered(ShimDevice()) if sys.argv.pop(1) == "shim" else nullcontext():
    main()
"""


@pytest.fixture
def script(tmp_path: Path) -> Iterator[list[str]]:
    path = tmp_path / "party.py"
    path.write_text(PARTY.format(paths=[entry for entry in sys.path if entry]))
    return [sys.executable, "-P", str(path)]


def test_the_command_in_two_processes(scene: Scene, script: list[str]) -> None:
    """One process has the shim, the other has no device at all."""
    configure(scene)
    parties = [
        subprocess.Popen(
            [*script, where, "psi", "run", "--config", str(scene.folder / f"{party}.json"), *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        for party, where, flags in ((BANK, "shim", ["--device", "auto"]), (TELCO, "none", []))
    ]
    bank, telco = ended(*parties)
    assert (bank.code, telco.code) == (0, 0), (bank, telco)
    check_output(scene)
    assert "device         cuda:0 (CPU shim) (1 GPU can be used)" in bank.stdout
    assert "device" not in telco.stdout
    report = json.loads((scene.folder / "bank.out.parquet.report.json").read_text())
    assert report["device"]["bins"] == {"cuda:0": N_BINS}


def test_the_command_without_a_device(scene: Scene, script: list[str]) -> None:
    """One line says why; on a machine with a GPU there is none of that number."""
    flags = ["--config", str(scene.folder / "bank.json"), "--device", "cuda:9999"]
    bank = ended(
        subprocess.Popen(
            [*script, "none", "psi", "run", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
    )
    assert "cuda:9999" in bank.error(BackendUnavailable.exit_code)
