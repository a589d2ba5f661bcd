# SPDX-License-Identifier: Apache-2.0
"""PSI with a party's keys on a device, the shim: results and the sizes of all messages are those of two CPUs, whoever
has the device, and a device that is too small or is lost says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crypsis.cuda._registry import registered
from crypsis.errors import BackendUnavailable, DeviceError, DeviceMemoryError, InvalidPoint, ProtocolAbort
from crypsis.mpc.place import HOST, place_named
from crypsis.mpc.psi import intersect
from crypsis.mpc.psi.ecdh import POINT_BYTES, POINTS
from crypsis.mpc.psi.layout import Layout
from crypsis.mpc.psi.matching import PlacedTags
from crypsis.mpc.psi.vole import TAGS, check_kernels, intersect_digests, room
from crypsis.mpc.transport.engine import PeerAborted
from cuda_on_cpu.device import ShimDevice

from . import pair
from .devices import CountingDevice, LostDevice, StagedDevice, exchange, keys_of, shims, small_voles
from .pair import WAIT_S, both, options_for, recorded_pair, spawn

CPU, GPU = "cpu", "cuda:0"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small_voles(monkeypatch)


def check(layout: Layout, places: tuple[str, str], *, broadcast: bool, n_common: int) -> None:
    receiver, sender = keys_of(layout.n_receiver, layout.n_sender, n_common)
    _, _, wanted = exchange(receiver, sender, layout, broadcast=broadcast)
    own, theirs, sizes = exchange(receiver, sender, layout, places=places, broadcast=broadcast)
    assert sizes == wanted
    assert len(own) == len(set(own.tolist())) == n_common
    common = {row.tobytes() for row in receiver} & {row.tobytes() for row in sender}
    assert {receiver[i].tobytes() for i in own} == common
    if broadcast:  # the same order at both
        assert np.array_equal(receiver[own], sender[theirs])
    else:
        assert theirs is None


@pytest.mark.parametrize("broadcast", [False, True])
@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
@pytest.mark.parametrize("places", [(GPU, CPU), (CPU, GPU), (GPU, GPU)])
def test_as_two_cpus(
    shim_device: ShimDevice, places: tuple[str, str], security: Any, broadcast: bool
) -> None:
    layout = Layout(700, 650, security=security, inner_keys=250)
    assert layout.inner == 3
    check(layout, places, broadcast=broadcast, n_common=300)
    assert shim_device.launches


@pytest.mark.parametrize("threads", [(1, 1), (3, 1), (1, 3)])
def test_steps_of_several_bins(shim_device: ShimDevice, threads: tuple[int, int]) -> None:
    """A GPU takes as many inner bins as the other party's threads let it."""
    receiver, sender = keys_of(900, 900, 450)
    layout = Layout(900, 900, inner_keys=130)
    assert layout.inner == 7
    _, _, wanted = exchange(receiver, sender, layout, threads=threads, broadcast=True)
    for places in ((GPU, CPU), (CPU, GPU)):
        own, theirs, sizes = exchange(
            receiver, sender, layout, places=places, threads=threads, broadcast=True
        )
        assert np.array_equal(receiver[own], sender[theirs])
        assert len(own) == 450
        assert sizes == wanted


@pytest.mark.parametrize(
    ("n_receiver", "n_sender", "n_common"),
    [(0, 0, 0), (0, 5, 0), (5, 0, 0), (1, 1, 1), (1, 400, 1), (300, 2, 0)],
)
def test_tiny_sets(n_receiver: int, n_sender: int, n_common: int) -> None:
    with shims(GPU):
        for security in ("semi-honest", "malicious"):
            layout = Layout(n_receiver, n_sender, security=security)  # type: ignore[arg-type]
            check(layout, (GPU, GPU), broadcast=True, n_common=n_common)


def test_field_of_128_bits_when_semi_honest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crypsis.mpc.psi.layout.SMALL_FIELD_KEYS", 0)
    assert Layout(10, 10).field == 128
    with shims(GPU):
        for places in ((GPU, CPU), (CPU, GPU)):
            check(Layout(300, 280, inner_keys=200), places, broadcast=True, n_common=100)


@pytest.mark.parametrize(
    ("setting", "security", "places"),
    [
        ("fast", "semi-honest", (GPU, CPU)),
        ("fast", "malicious", (CPU, GPU)),
        pytest.param("low-communication", "semi-honest", (CPU, GPU), marks=pytest.mark.slow),
        pytest.param("low-communication", "malicious", (GPU, CPU), marks=pytest.mark.slow),
    ],
)
def test_rounds_of_real_size(
    monkeypatch: pytest.MonkeyPatch, setting: Any, security: Any, places: tuple[str, str]
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(pair, "WAIT_S", 300)
    with shims(GPU):
        layout = Layout(3000, 3000, setting=setting, security=security)
        assert layout.parameters.secure
        check(layout, places, broadcast=True, n_common=1000)


@pytest.mark.gpu
@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
@pytest.mark.parametrize("places", [(GPU, CPU), (CPU, GPU), (GPU, GPU)])
def test_as_two_cpus_on_a_gpu(
    gpu_device: Any, monkeypatch: pytest.MonkeyPatch, places: tuple[str, str], security: Any
) -> None:
    monkeypatch.undo()
    layout = Layout(200_000, 180_000, security=security)
    assert layout.inner == 5
    check(layout, places, broadcast=True, n_common=90_000)


@pytest.mark.gpu
def test_ecdh_as_two_cpus_on_a_gpu(gpu_device: Any) -> None:
    receiver, _, _ = ecdh_pair((CPU, CPU), broadcast=False)
    own, _, _ = ecdh_pair((GPU, GPU), broadcast=False)
    assert sorted(own["id"].to_pylist()) == sorted(receiver["id"].to_pylist())


@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
@pytest.mark.parametrize("places", [(GPU, CPU), (CPU, GPU)])
def test_all_work_is_done_in_stages(places: tuple[str, str], security: Any) -> None:
    with registered(StagedDevice()) as device:
        check(Layout(500, 450, security=security, inner_keys=200), places, broadcast=True, n_common=200)
        assert device.stages
        ecdh_pair(places, broadcast=True, batch_size=300)
        with pytest.raises(AssertionError, match="outside a stage"):
            device.from_host(np.zeros(1))


def test_a_stage_waits_for_its_work() -> None:
    with registered(StagedDevice()) as device:
        place = place_named(GPU)
        with place.stage("one"):
            place.from_host(np.zeros(4))
        with pytest.raises(AssertionError, match="ended before its work"), device.using(device.stream):
            place.from_host(np.zeros(4))


@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
def test_kernels_are_compiled_before_the_peer_is_met(security: Any) -> None:
    with shims(GPU) as (device,):
        check_kernels(options_for("receiver", protocol="vole", security=security), place_named(GPU))
        compiled = {(launch.kernel, launch.defines) for launch in device.launches}
        layout = Layout(300, 250, security=security, inner_keys=200)
        check(layout, (GPU, GPU), broadcast=True, n_common=90)
        missing = {(launch.kernel, launch.defines) for launch in device.launches} - compiled
        assert {kernel for kernel, _ in missing} <= {"permute"}  # of a module that others need too


def swapped(stream: int, size: int) -> Any:
    """Messages of a stream with their first pieces of `size` exchanged."""

    def tamper(at: int, raw: bytes) -> list[bytes]:
        if at != stream or len(raw) <= size:
            return [raw]
        return [raw[size : 2 * size] + raw[:size] + raw[2 * size :]]

    return tamper


def test_tags_out_of_order_end_the_job_on_a_device() -> None:
    receiver, sender = keys_of(200, 200, 100)
    layout = Layout(200, 200)
    with shims(GPU):
        place = place_named(GPU)
        ends = recorded_pair(sender=swapped(TAGS, 100 * layout.tag_bytes))
        futures = [
            spawn(lambda: intersect_digests(ends[0], "receiver", receiver, layout, threads=1, place=place)),
            spawn(lambda: intersect_digests(ends[1], "sender", sender, layout, threads=1)),
        ]
        for future in futures:
            future.exception(WAIT_S)
        error = futures[0].exception()
        assert isinstance(error, ProtocolAbort)
        assert "tags that are not in order" in str(error)


# ---- memory


@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
@pytest.mark.parametrize("role", ["receiver", "sender"])
def test_a_session_takes_no_more_than_is_reckoned(role: str, security: Any) -> None:
    receiver, sender = keys_of(12_000, 12_000, 4000)
    layout = Layout(12_000, 12_000, security=security, inner_keys=2000)
    places = (GPU, CPU) if role == "receiver" else (CPU, GPU)
    with registered(CountingDevice()) as device:
        exchange(receiver, sender, layout, places=places, threads=(2, 2), broadcast=True)
        reckoned = room.device_bytes(layout, 2, 12_000)
        assert device.peak < reckoned - room.SLACK_BYTES // 2
        assert device.peak > reckoned // 20  # not by an estimate that says nothing


def test_steps_shrink_where_memory_is_short() -> None:
    layout = Layout(100_000, 100_000, inner_keys=4000)
    with shims(GPU) as (device,):
        place = place_named(GPU)
        assert room.steps_at_a_time(place, layout, 16) == layout.inner == 25
        device.limit_bytes = room.device_bytes(layout, 13, 100_000)
        assert room.steps_at_a_time(place, layout, 16) == 13
        device.limit_bytes = room.device_bytes(layout, 1, 100_000)
        assert room.steps_at_a_time(place, layout, 16) == 1
        device.limit_bytes -= 1
        with pytest.raises(
            DeviceMemoryError, match=r"cuda:0 has [\d,]+ bytes free .*needs [\d,]+; .*--device cpu"
        ):
            room.steps_at_a_time(place, layout, 16)
    assert room.steps_at_a_time(HOST, layout, 16) == 16
    with shims(GPU) as (device,):
        device.limit_bytes = 2 * room.device_bytes(layout, 13, 100_000)
        assert room.steps_at_a_time(place_named(GPU), layout, 16) == 25
        half = place_named(GPU, room=device.free_bytes() // 2)
        assert room.steps_at_a_time(half, layout, 16) == 13
        taken = device.empty(device.free_bytes() // 2, np.uint8)  # by the other worker
        assert room.steps_at_a_time(half, layout, 16) == 13
        del taken
        assert room.steps_at_a_time(place_named(GPU), layout, 2) == 2 * room.HOST_SHARE


@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
def test_an_exchange_in_the_memory_of_one_bin_at_a_time(security: Any) -> None:
    layout = Layout(3000, 2800, security=security, inner_keys=500)
    with shims(GPU) as (device,):
        device.limit_bytes = room.device_bytes(layout, 1, 3000)
        assert room.steps_at_a_time(place_named(GPU), layout, 2) == 1
        for places in ((GPU, CPU), (CPU, GPU)):
            check(layout, places, broadcast=True, n_common=1000)


def test_a_device_that_is_too_small_is_told_before_anything_is_sent() -> None:
    receiver, sender = keys_of(300, 300, 100)
    with shims(GPU, memory_bytes=1 << 20):
        place = place_named(GPU)
        futures = both(
            lambda c: intersect_digests(c, "receiver", receiver, Layout(300, 300), threads=1, place=place),
            lambda c: intersect_digests(c, "sender", sender, Layout(300, 300), threads=1),
        )
        assert isinstance(futures[0].exception(), DeviceMemoryError)
        assert futures[1].exception() is not None


@pytest.mark.parametrize("role", ["receiver", "sender"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_lost_device_ends_the_exchange_and_is_named(role: str, share: float) -> None:
    receiver, sender = keys_of(400, 400, 100)
    layout = Layout(400, 400, inner_keys=200)
    places = (GPU, CPU) if role == "receiver" else (CPU, GPU)
    with registered(LostDevice()) as device:
        exchange(receiver, sender, layout, places=places, broadcast=True)
        device.lasts = len(device.launches) * (1 + share)
        with pytest.raises((DeviceError, ProtocolAbort)) as caught:
            exchange(receiver, sender, layout, places=places, broadcast=True)
        if role == "receiver":  # whose error is raised first
            assert type(caught.value) is DeviceError
            assert "cuda:0" in str(caught.value)


# ---- ECDH-PSI


def both_tables(n: int, first: int) -> tuple[pa.Table, pa.Table]:
    ids = [f"c{i}" for i in range(first + n)]
    return pa.table({"id": ids[:n]}), pa.table({"id": ids[first:]})


def ecdh_pair(devices: tuple[str, str], **options: Any) -> tuple[Any, ...]:
    tables = both_tables(900, 500)
    kept: dict[str, Any] = {}

    def party(role: Any, table: pa.Table, device: str) -> Any:
        def go(channel: Any) -> Any:
            kept[role] = channel
            return intersect(table, "id", channel, role=role, threads=1, device=device, **options).table

        return go

    futures = both(party("receiver", tables[0], devices[0]), party("sender", tables[1], devices[1]))
    made = [future.result() for future in futures]
    sizes = [sorted((s, [len(m) for m in sent]) for s, sent in kept[role].sent.items() if s) for role in kept]
    return *made, sizes


@pytest.mark.parametrize("broadcast", [False, True])
@pytest.mark.parametrize("places", [(GPU, CPU), (CPU, GPU), (GPU, GPU)])
def test_ecdh_as_two_cpus(places: tuple[str, str], broadcast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crypsis.mpc.psi.ecdh.DEVICE_POINTS", 350)
    options = {"broadcast": broadcast, "align": broadcast, "batch_size": 100}
    receiver, sender, wanted = ecdh_pair((CPU, CPU), **options)
    with shims(GPU):
        own, theirs, sizes = ecdh_pair(places, **options)
    assert sorted(own["id"].to_pylist()) == sorted(receiver["id"].to_pylist())
    assert own.num_rows == 400
    assert (theirs is None) == (sender is None) == (not broadcast)
    if broadcast:
        assert own["id"].to_pylist() == theirs["id"].to_pylist()
    assert sorted(map(str, sizes)) == sorted(map(str, wanted))


def test_ecdh_on_a_device_that_is_too_small() -> None:
    with (
        shims(GPU, memory_bytes=100_000),
        pytest.raises(DeviceMemoryError, match=r"900 own keys and 900 of the peer"),
    ):
        ecdh_pair((GPU, CPU), broadcast=False)


@pytest.mark.parametrize("whose", ["own", "the peer's"])
def test_ecdh_tags_that_come_twice(whose: str) -> None:
    rows = np.random.default_rng(3).integers(0, 256, (500, 12), np.uint8)
    twice = rows.copy()
    twice[77] = twice[399]
    with shims(GPU):
        place = place_named(GPU)
        with place.stage("match"):
            sets = [PlacedTags(place, 500, 12) for _ in range(2)]
            for tags, given in zip(sets, (twice, rows) if whose == "own" else (rows, twice), strict=True):
                tags.append(place.from_host(given))
            with pytest.raises(ProtocolAbort, match="hold the same item twice"):
                sets[0].match(sets[1])
            with pytest.raises(ProtocolAbort, match="more than the 500 items"):
                sets[0].append(place.from_host(rows[:1]))


def test_a_bad_point_from_the_peer() -> None:
    tables = both_tables(300, 100)

    def zeroed(stream: int, raw: bytes) -> list[bytes]:
        return [bytes(POINT_BYTES) + raw[POINT_BYTES:]] if stream == POINTS else [raw]

    with shims(GPU):
        ends = recorded_pair(sender=zeroed)

        def sender() -> None:
            """It may have sent all before the receiver has looked at a point: then it hears when it closes."""
            intersect(tables[1], "id", ends[1], role="sender")
            ends[1].close()

        futures = [
            spawn(lambda: intersect(tables[0], "id", ends[0], role="receiver", device=GPU)),
            spawn(sender),
        ]
        with pytest.raises(InvalidPoint, match="telco sent a bad point: point in row 0"):
            futures[0].result(WAIT_S)
        with pytest.raises(PeerAborted, match="telco sent a bad point"):
            futures[1].result(WAIT_S)


def test_tables_in_memory_say_what_auto_came_to() -> None:
    tables = both_tables(300, 100)
    told: list[str] = []
    with shims(GPU) as (device,):
        futures = both(
            lambda c: intersect(
                tables[0],
                "id",
                c,
                role="receiver",
                protocol="vole",
                device="auto",
                progress=lambda phase, done, total: told.append(phase),
            ),
            lambda c: intersect(tables[1], "id", c, role="sender", protocol="vole"),
        )
        table = futures[0].result().table
        assert table is not None
        assert table.num_rows == 200
        assert device.launches
    assert "device cuda:0 (CPU shim): 1 GPU can be used" in told


def test_a_device_that_is_not_there_is_told_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crypsis.cuda._cupy.why_not", lambda: "no NVIDIA driver: libcuda.so.1 is not there")
    ends = recorded_pair()
    with pytest.raises(BackendUnavailable, match="cuda:1: no NVIDIA driver"):
        intersect(both_tables(5, 1)[0], "id", ends[0], role="receiver", device="cuda:1")
    assert not ends[0].sent
