# SPDX-License-Identifier: Apache-2.0
"""kernels/curve25519 on the shim device against the CPU and published values; on a GPU where there is one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crypsis import curve25519
from crypsis.cuda import Device
from crypsis.cuda import curve25519 as cuda_curve25519
from crypsis.cuda._tuning import launch_shapes
from crypsis.errors import BackendUnavailable, DeviceMemoryError, InvalidPoint
from cuda_on_cpu.device import ShimDevice
from cuda_on_cpu.launcher import run_sanitized
from reference import curve25519 as reference

VECTORS = Path(__file__).parent / "vectors"
RFC7748 = json.loads((VECTORS / "curve25519.json").read_text())
RFC9380 = json.loads((VECTORS / "curve25519_rfc9380.json").read_text())
WYCHEPROOF = json.loads((VECTORS / "curve25519_wycheproof.json").read_text())["rows"]
KERNELS = Path(__file__).parent.parent / "kernels" / "curve25519"
P = reference.P
LOW_ORDER = (
    0,
    1,
    P - 1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
ZEROS = (*LOW_ORDER, P, P + 1, 2**255, 2**255 + P - 1)
"""Rows that X25519 takes to 0: those, and other encodings of them."""
BLOCK = launch_shapes("curve25519")["scalar_mult"]["block"]
EDGES = [
    *(0, 1, 2, 9, 19, 486662, P - 486662, (P - 1) // 2, (P + 1) // 2, 2**255 - 1),
    *range(P - 3, P + 19),
    *((2**32 - 1) << 32 * i for i in range(8)),
    *(2**256 - 1 - ((2**32 - 1) << 32 * i) for i in range(8)),
    *(2**k + d for k in (32, 64, 128, 224, 254, 255) for d in (-1, 0, 1)),
    *(2**255 + v for v in (9, P - 1, P, 2**255 - 1)),
]


def rows(*values: int | bytes) -> np.ndarray:
    parts = [v if isinstance(v, bytes) else v.to_bytes(32, "little") for v in values]
    return np.frombuffer(b"".join(parts), np.uint8).reshape(-1, 32).copy()


def random_rows(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng([2026, seed]).integers(0, 256, (n, 32), np.uint8)


def unhex(*texts: str) -> np.ndarray:
    return rows(*(bytes.fromhex(text) for text in texts))


def on_device(device: Device, function: Any, *arrays: np.ndarray) -> np.ndarray:
    return device.to_host(function(*(device.from_host(array) for array in arrays)))


# Known answers


def test_rfc7748(shim_device: ShimDevice) -> None:
    vectors = RFC7748["scalar_mult"]
    scalars, points = (unhex(*(v[name] for v in vectors)) for name in ("scalar", "u"))
    found = on_device(shim_device, curve25519.scalar_mult, scalars, points)
    assert [row.tobytes().hex() for row in found] == [v["result"] for v in vectors]
    k = u = unhex(RFC7748["iterated"]["start"])[0]
    k = on_device(shim_device, curve25519.scalar_mult, k, u)
    assert k.tobytes().hex() == RFC7748["iterated"]["1"]
    v = {name: unhex(text)[0] for name, text in RFC7748["diffie_hellman"].items()}
    for me, peer in (("alice", "bob"), ("bob", "alice")):
        private = v[f"{me}_private"]
        assert (on_device(shim_device, curve25519.scalar_mult_base, private) == v[f"{me}_public"]).all()
        found = on_device(shim_device, curve25519.scalar_mult, private, v[f"{peer}_public"])
        assert (found == v["shared"]).all()


def test_wycheproof(shim_device: ShimDevice) -> None:
    public, private, shared = (unhex(*(row[i] for row in WYCHEPROOF)) for i in (3, 4, 5))
    found = on_device(shim_device, curve25519.scalar_mult, private, public)
    wrong = [WYCHEPROOF[i][0] for i in np.flatnonzero((found != shared).any(axis=1))]
    assert wrong == [], "tcIds"


@pytest.mark.parametrize("suite", ["RO", "NU"])
def test_rfc9380_map(shim_device: ShimDevice, suite: str) -> None:
    for vector in RFC9380["suites"][suite]["vectors"]:
        elements = rows(*(bytes.fromhex(u)[::-1] for u in vector["u"]))
        found = on_device(shim_device, curve25519.map_to_curve, elements)
        assert [row[::-1].tobytes().hex() for row in found] == [q[0] for q in vector["Q"]]


def test_sha256_to_u(shim_device: ShimDevice) -> None:
    messages = random_rows(1, 40)
    wanted = rows(*(hashlib.sha256(m.tobytes()).digest() for m in messages))
    given = shim_device.from_host(messages)
    assert (curve25519.sha256_to_u(given).get() == wanted).all()
    out = shim_device.empty((40, 32), np.uint8)
    assert curve25519.sha256_to_u(given, out=out, backend="cuda", threads=2) is out
    assert (out.get() == wanted).all()
    offsets = shim_device.from_host(np.array([0, 3, 3, 70]))
    found = curve25519.sha256_to_u((offsets, given.reshape(-1))).get()
    text = messages.tobytes()
    assert (found == rows(*(hashlib.sha256(m).digest() for m in (text[:3], b"", text[3:70])))).all()


# Against the CPU and the reference


def test_edge_points(shim_device: ShimDevice) -> None:
    for scalar in (np.arange(32, dtype=np.uint8), random_rows(2, 1)[0]):
        found = on_device(shim_device, curve25519.scalar_mult, scalar, rows(*EDGES))
        assert (found == curve25519.scalar_mult(scalar, rows(*EDGES))).all()
    for value, row in zip(EDGES[::7], found[::7], strict=True):
        assert row.tobytes() == reference.x25519(scalar.tobytes(), value.to_bytes(32, "little")), hex(value)


def test_edge_scalars(shim_device: ShimDevice) -> None:
    scalars = rows(
        *(0, 7, 8, 2**254, 2**254 - 8, 2**255 - 1, 2**255, 2**256 - 1),
        *(reference.ORDER, 8 * reference.ORDER % 2**255, int("aa" * 32, 16), int("55" * 32, 16)),
        *(1 << bit for bit in (2, 3, 31, 32, 63, 64, 223, 224, 252, 253)),
    )
    found = on_device(shim_device, curve25519.scalar_mult_base, scalars)
    for k, row in zip(scalars, found, strict=True):
        assert row.tobytes() == reference.x25519(k.tobytes(), (9).to_bytes(32, "little"))
    point = np.tile(rows(P - 2), (len(scalars), 1))
    assert (
        on_device(shim_device, curve25519.scalar_mult, scalars, point)
        == curve25519.scalar_mult(scalars, point)
    ).all()


def test_edge_elements(shim_device: ShimDevice) -> None:
    found = on_device(shim_device, curve25519.map_to_curve, rows(*EDGES))
    for value, row in zip(EDGES, found, strict=True):
        element = reference.decode(value.to_bytes(32, "little"))
        assert row.tobytes() == reference.encode(reference.map_to_curve_elligator2(element)[0]), hex(value)


@pytest.mark.parametrize(
    "n", [0, 1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 191, 193, BLOCK, BLOCK + 1, 2 * BLOCK + 1, 900]
)
def test_every_batch_size(shim_device: ShimDevice, n: int) -> None:
    """Tails of warps and of the blocks that share an inversion; neighbours of the output stay as they were."""
    scalars, points = random_rows(10, n), random_rows(11, n)
    given = [shim_device.from_host(array) for array in (scalars, points)]
    for function, wanted in (
        (lambda out: curve25519.scalar_mult(*given, out=out), curve25519.scalar_mult(scalars, points)),
        (lambda out: curve25519.map_to_curve(given[1], out=out), curve25519.map_to_curve(points)),
        (lambda out: curve25519.scalar_mult_base(given[0], out=out), curve25519.scalar_mult_base(scalars)),
    ):
        memory = shim_device.xp.full((n + 2, 32), 0xA5, np.uint8)
        function(memory[1 : n + 1])
        assert (memory[1 : n + 1].get() == wanted).all()
        assert (memory.get()[[0, -1]] == 0xA5).all()
        if n > 0:
            last = shim_device.launches[-1]
            threads = last.block[0]
            assert threads % 32 == 0
            assert threads <= BLOCK
            assert (last.grid[0] - 1) * threads < n <= last.grid[0] * threads
    assert (n > 0) == bool(shim_device.launches)


def test_one_scalar_for_all(shim_device: ShimDevice) -> None:
    """Also for 32 points: as many as a scalar has bytes."""
    scalar, points = random_rows(12, 1)[0], random_rows(13, 77)
    for n in (1, 32, 77):
        found = on_device(shim_device, curve25519.scalar_mult, scalar, points[:n])
        assert (found == curve25519.scalar_mult(np.tile(scalar, (n, 1)), points[:n])).all()
    found = on_device(shim_device, curve25519.scalar_mult, np.tile(scalar, (77, 1)), points)
    assert (found == curve25519.scalar_mult(scalar, points)).all()


def test_single_rows(shim_device: ShimDevice) -> None:
    scalar, point = random_rows(14, 2)
    for function, arrays in (
        (curve25519.scalar_mult, (scalar, point)),
        (curve25519.scalar_mult_base, (scalar,)),
        (curve25519.map_to_curve, (point,)),
    ):
        found = on_device(shim_device, function, *arrays)
        assert found.shape == (32,)
        assert (found == function(*arrays)).all()


@pytest.mark.parametrize("threads", [32, 64, 96, 160])
def test_every_number_of_warps(
    shim_device: ShimDevice, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    """Whichever warp of a block inverts; blocks of one warp invert for themselves."""
    kernels = ("scalar_mult", "map_to_curve", "check_points")
    shapes = {kernel: {"block": threads, "blocks": 1} for kernel in kernels}
    monkeypatch.setattr(cuda_curve25519, "launch_shapes", lambda slug: shapes)
    n = 6 * threads - 5
    scalars, points = random_rows(15, n), random_rows(16, n)
    found = on_device(shim_device, curve25519.scalar_mult, scalars, points)
    assert shim_device.launches[-1].block[0] == min(threads, 32 * -(-n // 64))
    assert (found == curve25519.scalar_mult(scalars, points)).all()
    found = on_device(shim_device, curve25519.map_to_curve, points)
    assert (found == curve25519.map_to_curve(points)).all()


@pytest.mark.parametrize("offset", [0, 1, 2, 4, 8, 15, 16, 31])
def test_in_place_at_every_alignment(shim_device: ShimDevice, offset: int) -> None:
    n = 70
    memory = shim_device.xp.zeros(32 * (2 * n + 2), np.uint8)
    points, scalars = random_rows(17, n), random_rows(18, n)
    place = memory[offset : offset + 32 * n].reshape(n, 32)
    keys = memory[offset + 32 * (n + 1) : offset + 32 * (2 * n + 1)].reshape(n, 32)
    keys[...] = shim_device.from_host(scalars)
    for function, wanted in (
        (lambda x: curve25519.scalar_mult(keys, x, out=x), curve25519.scalar_mult(scalars, points)),
        (lambda x: curve25519.map_to_curve(x, out=x), curve25519.map_to_curve(points)),
    ):
        place[...] = shim_device.from_host(points)
        assert function(place) is place
        assert (place.get() == wanted).all()
        assert (keys.get() == scalars).all()
        left = memory.get()
        left[offset : offset + 32 * n] = left[offset + 32 * (n + 1) : offset + 32 * (2 * n + 1)] = 0
        assert not left.any()
    curve25519.check_points(place)
    place[n - 1] = shim_device.from_host(rows(LOW_ORDER[3])[0])
    with pytest.raises(InvalidPoint, match=f"row {n - 1} is of low order"):
        curve25519.check_points(place)


# Points of low order: Z = 0 among what shares an inversion


def test_low_order_points_give_zero_and_spoil_no_neighbour(shim_device: ShimDevice) -> None:
    scalar, n = random_rows(19, 1)[0], 2 * BLOCK + 7
    good = random_rows(20, n)
    wanted = curve25519.scalar_mult(scalar, good)
    for bad in (
        [0],
        [n - 1],  # of the last block, whose other threads repeat it
        [BLOCK - 1, BLOCK, BLOCK + 31],
        list(range(5, BLOCK, 32)),  # the whole column that one lane inverts
        list(range(64, 96)),  # a warp
        list(range(BLOCK)),  # a block
        list(range(0, n, 3)),
    ):
        points, want = good.copy(), wanted.copy()
        points[bad] = np.resize(rows(*ZEROS), (len(bad), 32))
        want[bad] = 0
        found = on_device(shim_device, curve25519.scalar_mult, scalar, points)
        assert (found == want).all(), bad
    assert not on_device(shim_device, curve25519.scalar_mult, scalar, rows(*ZEROS)).any()


# Points from a peer


def test_check_points_as_on_the_cpu(shim_device: ShimDevice) -> None:
    """Every bad row that the CPU names, with its words; the first of several, whatever the order of the threads."""
    good = curve25519.hash_to_curve(random_rows(21, 300), b"good")[0]
    for points in (good, good[0], good[:0], rows(2, 3, P - 2, 2**255 - 21, 2**64, 2**192)):
        curve25519.check_points(shim_device.from_host(points))
    bad = [
        *LOW_ORDER,
        *range(P, P + 19),
        2**255,
        2**255 + 9,
        2**255 + 1,
        2**256 - 1,
        2**256 - 19,
        2**256 - 20,
    ]
    for i, value in enumerate(bad):
        points = good.copy()
        row = 17 * i % 300
        points[row] = rows(value)
        points[row + 1 :: 50] = rows(*bad)[(i + 1) % len(bad)]
        with pytest.raises(InvalidPoint) as cpu:
            curve25519.check_points(points)
        with pytest.raises(InvalidPoint) as gpu:
            curve25519.check_points(shim_device.from_host(points))
        assert str(gpu.value) == str(cpu.value)
        assert f"row {row} is " in str(gpu.value)


def test_check_points_agrees_with_the_cpu_on_wycheproof(shim_device: ShimDevice) -> None:
    for row in WYCHEPROOF[::5]:
        point = unhex(row[3])
        refused = []
        for given in (point, shim_device.from_host(point)):
            try:
                curve25519.check_points(given)
                refused.append("")
            except InvalidPoint as error:
                refused.append(str(error))
        assert refused[0] == refused[1], row[0]


# Bad input: the CPU's exceptions and words


def test_bad_inputs_are_refused_as_on_the_cpu(shim_device: ShimDevice) -> None:
    scalar, points = np.zeros(32, np.uint8), np.zeros((4, 32), np.uint8)
    for bad_scalar, bad_points in (
        (scalar, np.zeros((4, 31), np.uint8)),
        (scalar, np.zeros((2, 2, 32), np.uint8)),
        (scalar, np.zeros((), np.uint8)),
        (np.zeros(31, np.uint8), points),
        (np.zeros((3, 32), np.uint8), points),
        (np.zeros((1, 32), np.uint8), points),
        (np.zeros((1, 32), np.uint8), scalar),
    ):
        with pytest.raises(ValueError, match="has shape") as cpu:
            curve25519.scalar_mult(bad_scalar, bad_points)
        out = shim_device.xp.full((4, 32), 7, np.uint8)
        with pytest.raises(ValueError, match="has shape") as gpu:
            curve25519.scalar_mult(
                shim_device.from_host(bad_scalar), shim_device.from_host(bad_points), out=out
            )
        assert str(gpu.value) == str(cpu.value)
        assert (out.get() == 7).all()
    given = shim_device.from_host(points)
    for function in (curve25519.map_to_curve, curve25519.scalar_mult_base, curve25519.check_points):
        with pytest.raises(TypeError, match=r"is an array of int8: give uint8\[n, 32\] or uint8\[32\]"):
            function(given.astype(np.int8))
        with pytest.raises(ValueError, match=r"is not C-contiguous: pass cupy\.ascontiguousarray"):
            function(shim_device.xp.zeros((8, 32), np.uint8)[::2])
    with pytest.raises(TypeError, match=r"scalars is bytes: give uint8\[n, 32\] or uint8\[32\] on cuda:0"):
        curve25519.scalar_mult(bytes(32), given)
    assert not shim_device.launches


def test_out_is_checked(shim_device: ShimDevice) -> None:
    xp = shim_device.xp
    memory, scalars = xp.zeros(6 * 32, np.uint8), xp.zeros((4, 32), np.uint8)
    low, high = memory[:128].reshape(4, 32), memory[32:160].reshape(4, 32)
    for points, out, words in (
        (low, xp.zeros((3, 32), np.uint8), r"out has shape \(3, 32\): the result has \(4, 32\)"),
        (low, xp.zeros((4, 64), np.uint8)[:, ::2], "out is not C-contiguous: allocate it with cupy.empty"),
        (low, high, "out overlaps points at another offset"),
        (low, scalars, "out overlaps scalars"),
    ):
        with pytest.raises(ValueError, match=words):
            curve25519.scalar_mult(scalars, points, out=out)
    with pytest.raises(ValueError, match="out overlaps elements at another offset"):
        curve25519.map_to_curve(low, out=high)
    with pytest.raises(ValueError, match="out overlaps scalars"):
        curve25519.scalar_mult_base(scalars, out=scalars)
    with pytest.raises(TypeError, match=r"out is an array of int8: give uint8\[4, 32\]"):
        curve25519.map_to_curve(low, out=xp.zeros((4, 32), np.int8))
    with pytest.raises(TypeError, match=r"out is bytes: give uint8\[4, 32\] on cuda:0"):
        curve25519.map_to_curve(low, out=bytes(128))
    assert not shim_device.launches


def test_host_and_device_do_not_mix(shim_device: ShimDevice) -> None:
    host, given = np.zeros((4, 32), np.uint8), shim_device.xp.zeros((4, 32), np.uint8)
    with pytest.raises(ValueError, match=r"scalar_mult: points is on cuda:0 and scalars on the host"):
        curve25519.scalar_mult(host[0], given)
    with pytest.raises(ValueError, match=r"map_to_curve: elements is on cuda:0 and out on the host"):
        curve25519.map_to_curve(given, out=host)
    with pytest.raises(ValueError, match="backend is 'portable', and the arrays are on cuda:0"):
        curve25519.map_to_curve(given, backend="portable")
    with pytest.raises(ValueError, match="backend is 'cuda', and the arrays of scalar_mult are on the host"):
        curve25519.scalar_mult(host[0], host, backend="cuda")
    with pytest.raises(BackendUnavailable, match=r"crypsis.curve25519.hash_to_curve has no CUDA kernel"):
        curve25519.hash_to_curve(given, b"tests")


# Memory


def test_too_little_memory_for_the_result(shim_device: ShimDevice) -> None:
    points = shim_device.from_host(random_rows(22, 64))
    scalar = points[0].copy()
    shim_device.limit_bytes = 65 * 32 + 1000
    for function in (
        lambda: curve25519.scalar_mult(scalar, points),
        lambda: curve25519.map_to_curve(points),
        lambda: curve25519.sha256_to_u(points),
    ):
        with pytest.raises(DeviceMemoryError, match=r"cuda:0 .*memory"):
            function()
    wanted = curve25519.scalar_mult(scalar.get(), points.get())
    curve25519.scalar_mult(scalar, points, out=points)  # needs nothing
    assert (points.get() == wanted).all()


SANITIZED = """
import numpy as np
from crypsis import curve25519
from crypsis.cuda._registry import registered
from crypsis.errors import InvalidPoint
from cuda_on_cpu.device import ShimDevice

rng = np.random.default_rng(1)
with registered(ShimDevice("reversed", sanitize=True)) as device:
    for n, start in ((1, 0), (33, 8), (70, 3)):
        flat = rng.integers(0, 256, (3, 32 * n + start), np.uint8)
        flat[1, start : start + 32] = 0
        scalars, points, out = (device.from_host(row)[start:].reshape(n, 32) for row in flat)
        curve25519.scalar_mult(scalars, points, out=out)
        curve25519.scalar_mult(scalars[n - 1], points, out=out)
        curve25519.scalar_mult_base(scalars, out=out)
        curve25519.map_to_curve(points, out=out)
        try:
            curve25519.check_points(points)
        except InvalidPoint:
            print("refused")
print("clean")
"""


def test_no_byte_outside_the_arrays_is_touched() -> None:
    done = run_sanitized(SANITIZED)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "refused\n" * 3 + "clean\n"


# Launch shapes


def test_the_declared_instance_is_what_is_launched(shim_device: ShimDevice) -> None:
    declared = json.loads((KERNELS / "instances.json").read_text())
    wanted = {"source": "curve25519/curve25519.cu", "defines": cuda_curve25519.defines()}
    assert list(declared.values()) == [wanted]
    points = shim_device.from_host(random_rows(23, 3))
    curve25519.scalar_mult(points, points.copy())
    curve25519.check_points(curve25519.map_to_curve(points))
    assert [dict(launch.defines) for launch in shim_device.launches] == [wanted["defines"]] * 3
    assert all(shape["block"] % 32 == 0 for shape in launch_shapes("curve25519").values())


# On a GPU


@pytest.mark.gpu
@pytest.mark.parametrize("n", [1, 33, 1000, 100_003])
def test_gpu_as_on_the_cpu(gpu_device: Device, n: int) -> None:
    scalars, points = random_rows(30, n), random_rows(31, n)
    points[n // 2 :: 1000] = rows(*ZEROS)[n % len(ZEROS)]
    for function, arrays in (
        (curve25519.scalar_mult, (scalars, points)),
        (curve25519.scalar_mult, (scalars[0], points)),
        (curve25519.scalar_mult_base, (scalars,)),
        (curve25519.map_to_curve, (points,)),
        (curve25519.sha256_to_u, (points,)),
    ):
        assert (on_device(gpu_device, function, *arrays) == function(*arrays)).all()
    with pytest.raises(InvalidPoint) as cpu:
        curve25519.check_points(points)
    with pytest.raises(InvalidPoint) as gpu:
        curve25519.check_points(gpu_device.from_host(points))
    assert str(gpu.value) == str(cpu.value)


@pytest.mark.gpu
def test_gpu_edges(gpu_device: Device) -> None:
    scalar = random_rows(32, 1)[0]
    for function, arrays in (
        (curve25519.scalar_mult, (scalar, rows(*EDGES))),
        (curve25519.map_to_curve, (rows(*EDGES),)),
    ):
        assert (on_device(gpu_device, function, *arrays) == function(*arrays)).all()
    public, private, shared = (unhex(*(row[i] for row in WYCHEPROOF)) for i in (3, 4, 5))
    assert (on_device(gpu_device, curve25519.scalar_mult, private, public) == shared).all()
