# SPDX-License-Identifier: Apache-2.0
"""PSI on a device that fails at any one operation, and what is left on it and on the host of the secrets that went to
and fro; a peer that lies to a device."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crypsis.cuda._registry import registered
from crypsis.errors import BackendUnavailable, CrypsisError, DeviceError, DeviceMemoryError, ProtocolAbort
from crypsis.mpc.data.spill import SpillFile
from crypsis.mpc.place import HOST, Memory, place_named
from crypsis.mpc.psi import bins
from crypsis.mpc.psi.devices import lost
from crypsis.mpc.psi.layout import Layout
from crypsis.mpc.psi.vole import RESULT, intersect_digests
from cuda_on_cpu.device import ShimDevice, ShimStream

from .devices import exchange, keys_of, shims, small_voles
from .pair import WAIT_S, both, recorded_pair, spawn

CPU, GPU = "cpu", "cuda:0"
N_COMMON = 200


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small_voles(monkeypatch)


def party(role: Any, keys: np.ndarray, layout: Layout, place: str) -> Any:
    return lambda channel: intersect_digests(
        channel, role, keys, layout, broadcast=True, threads=2, place=place_named(place)
    )


class _Stream(ShimStream):
    def __init__(self, device: FailingDevice) -> None:
        object.__setattr__(self, "device", device)

    def synchronize(self) -> None:
        self.device.operation()  # type: ignore[attr-defined]


class FailingDevice(ShimDevice):
    """Counts launches, copies, allocations and waits. Number `fails` fails with `kind`; of a lost one all later too."""

    fails: float = float("inf")
    kind: type[DeviceError] = DeviceError

    def __init__(self) -> None:
        super().__init__()
        self.n_operations = 0
        self._counting = threading.Lock()

    def operation(self) -> None:
        with self._counting:
            number, self.n_operations = self.n_operations, self.n_operations + 1
        if number == self.fails or (number > self.fails and self.kind is DeviceError):
            raise self.kind(f"{self.name}: it failed")

    @property
    def stream(self) -> Any:
        return _Stream(self)

    def from_host(self, a: np.ndarray) -> Any:
        self.operation()
        return super().from_host(a)

    def to_host(self, a: Any) -> np.ndarray:
        self.operation()
        return super().to_host(a)

    def empty(self, shape: Any, dtype: Any) -> Any:
        self.operation()
        return super().empty(shape, dtype)

    def _launch(self, *args: Any) -> None:
        self.operation()
        super()._launch(*args)


@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
@pytest.mark.parametrize("places", [(GPU, CPU), (CPU, GPU)])
@pytest.mark.parametrize("kind", [DeviceError, DeviceMemoryError])
def test_any_operation_that_fails_ends_the_exchange_at_both(
    places: tuple[str, str], security: Any, kind: type[DeviceError]
) -> None:
    """Of a device that is lost the error is told at once, by whichever thread has it, and the peer does not wait. One
    that was short of memory for a moment may go on, with the right result."""
    receiver, sender = keys_of(500, 450, N_COMMON)
    layout = Layout(500, 450, security=security, inner_keys=150)
    parties = [party("receiver", receiver, layout, places[0]), party("sender", sender, layout, places[1])]
    with registered(FailingDevice()) as device:
        assert [future.exception() for future in both(*parties)] == [None, None]
        last = device.n_operations
    here = places.index(GPU)
    for fails in [*range(3, last - 20, last // 8), last - 25]:  # the order of threads moves the last few
        device = FailingDevice()
        device.fails, device.kind = fails, kind
        with registered(device):
            futures = both(*parties)
        errors = [future.exception() for future in futures]
        if kind is DeviceMemoryError and errors == [None, None]:
            own, theirs = (future.result() for future in futures)
            assert len(own) == N_COMMON
            assert np.array_equal(receiver[own], sender[theirs])
        else:
            assert type(errors[here]) is kind
            assert isinstance(errors[1 - here], CrypsisError)


class SecretsDevice(ShimDevice):
    """Keeps what was copied from it as a secret, as it was, and as its owner leaves it."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets = []
        self.given: list[tuple[bytes, np.ndarray]] = []

    def to_host_secret(self, a: Any) -> np.ndarray:
        host = super().to_host_secret(a)
        self.given.append((host.tobytes(), host))
        return host


@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
@pytest.mark.parametrize("places", [(GPU, CPU), (CPU, GPU)])
def test_no_secret_stays_on_the_way(places: tuple[str, str], security: Any) -> None:
    """Seeds, places, noise and Delta on the device, and what came back of them to the host: noise that the next round
    begins with, the sums of the trees, their check. (The tag of a proof is no secret any more.)"""
    receiver, sender = keys_of(500, 450, N_COMMON)
    layout = Layout(500, 450, security=security, inner_keys=150)
    with registered(SecretsDevice()) as device:
        exchange(receiver, sender, layout, places=places, broadcast=True)
        assert len(device.secrets) > 4
        assert not any(np.any(copy.get()) for copy in device.secrets)
        assert len(device.given) > 2
        assert all(host.tobytes() != was for was, host in device.given)


@pytest.mark.parametrize("name", [CPU, GPU])
def test_memory_that_grows_is_wiped(name: str) -> None:
    with shims(GPU):
        place = place_named(name)
        memory = Memory(place)
        with place.stage("one"):
            before = memory("u", 4, 16)
            before.fill(7)
            memory("u", 40, 16)
            assert not np.any(place.to_host(before))


def test_a_copy_of_a_secret_leaves_none() -> None:
    rows = np.arange(32, dtype=np.uint8).reshape(2, 16)
    out = np.empty_like(rows)
    with registered(SecretsDevice()) as device:
        place_named(GPU).secret_into(out, device.from_host(rows))
        assert np.array_equal(out, rows)
        ((_, way),) = device.given
        assert not np.any(way)
    HOST.secret_into(out, rows[::-1])
    assert np.array_equal(out, rows[::-1])


def lied_to(receiver: np.ndarray, sender: np.ndarray, layout: Layout) -> list[Future[Any]]:
    """Both parties' ends; the receiver's results are all ones, and the sender is on a device."""
    ends = recorded_pair(receiver=lambda stream, raw: [b"\xff" * len(raw)] if stream == RESULT else [raw])
    parties = [party("receiver", receiver, layout, CPU), party("sender", sender, layout, GPU)]
    futures = [spawn(lambda run=run, end=end: run(end)) for run, end in zip(parties, ends, strict=True)]
    for future in futures:
        future.exception(WAIT_S)
    return futures


def test_results_that_say_padding_matched_end_the_job_on_a_device() -> None:
    receiver, sender = keys_of(300, 250, 100)
    layout = Layout(300, 250)
    with shims(GPU):
        futures = lied_to(receiver, sender, layout)
    error = futures[1].exception()
    assert isinstance(error, ProtocolAbort)
    assert "padding is in its set" in str(error)


def test_proofs_of_other_keys_mean_nothing_on_a_device() -> None:
    receiver, sender = keys_of(300, 250, 100)
    layout = Layout(300, 250, security="malicious")
    with shims(GPU):
        futures = lied_to(receiver, sender, layout)
    assert len(futures[1].result()) == 0


@pytest.mark.parametrize("n_rows", [2000, 300_000])
def test_a_bin_of_duplicates_takes_no_more_of_the_device(
    tmp_path: Path, n_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows beyond those that a session reckons with are grouped on the host."""
    records = np.random.default_rng(4).integers(0, 256, (1000, 16), np.uint8)
    records = np.resize(records, (n_rows, 16))
    records[:, 12:] = np.arange(n_rows, dtype="<u4").view(np.uint8).reshape(-1, 4)
    monkeypatch.setattr(bins, "read_bin", lambda spill: records)
    job = bins.BinJob(
        role="receiver",
        layout=Layout(5000, 5000, 1),
        job_id="00",
        work_dir=str(tmp_path),
        spills={7: SpillFile(7, "", n_rows, 16 * n_rows, "")},
        broadcast=True,
        aligned=True,
        own_side="left",
        chunk_records=1 << 20,
        max_output_rows=1,
        threads=1,
    )
    with shims(GPU, memory_bytes=1 << 20) as (device,):
        loaded = bins._load(job, place_named(GPU), 7)
        there = device.to_host(loaded.keys.keys)
        assert bool(device.launches) == (n_rows == 2000)
    wanted = bins._load(job, HOST, 7)
    assert np.array_equal(there, wanted.keys.keys)
    for one, other in zip(loaded.groups[1:], wanted.groups[1:], strict=True):  # type: ignore[index]
        assert np.array_equal(one, other)


@pytest.mark.parametrize("kind", [BackendUnavailable, DeviceError, DeviceMemoryError])
def test_a_lost_device_keeps_the_kind_of_its_error(kind: type[BackendUnavailable]) -> None:
    error = lost(kind("cuda:0: it failed"), "do this")
    assert type(error) is kind
    assert str(error) == "cuda:0: it failed; do this"
