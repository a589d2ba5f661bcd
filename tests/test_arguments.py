# SPDX-License-Identifier: Apache-2.0
"""Every argument of every public kernel function, given something wrong: one line that names it, never a signature of
the compiled code; and nothing written."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crypsis import curve25519, hashing
from crypsis.errors import BackendUnavailable

ROWS = np.zeros((2, 32), np.uint8)
SCALAR = np.zeros(32, np.uint8)


class OnDevice:
    """What CuPy's, Numba's and PyTorch's arrays in a GPU's memory look like."""

    __cuda_array_interface__ = None


class OnDeviceWithoutLayout:
    """A column of strings on a GPU: asked for its layout, it fails in its own way."""

    @property
    def __cuda_array_interface__(self) -> None:
        raise NotImplementedError("strings have no layout")


# Each function with good arguments; a test replaces one. Positional ones have their names here.
CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "digest": (hashing.digest, {"algorithm": "sha256", "data": ROWS}),
    "sha256": (hashing.sha256, {"data": ROWS}),
    "sm3": (hashing.sm3, {"data": ROWS}),
    "blake3": (hashing.blake3, {"data": ROWS}),
    "scalar_mult": (curve25519.scalar_mult, {"scalars": SCALAR, "points": ROWS}),
    "scalar_mult_base": (curve25519.scalar_mult_base, {"scalars": ROWS}),
    "map_to_curve": (curve25519.map_to_curve, {"elements": ROWS}),
    "hash_to_curve": (curve25519.hash_to_curve, {"data": ROWS, "dst": b"tests"}),
    "sha256_to_u": (curve25519.sha256_to_u, {"data": ROWS}),
    "check_points": (curve25519.check_points, {"points": ROWS + 9}),
}
# What an argument may be in each function that has it.
DATA, ARRAYS, OPTIONS = ("data",), ("scalars", "points", "elements"), ("backend", "threads", "out")
HAS: dict[str, tuple[str, ...]] = {
    name: (*good, *(() if name == "check_points" else ("threads",) if name == "hash_to_curve" else OPTIONS))
    for name, (_, good) in CALLS.items()
}
WRONG: dict[str, list[Any]] = {
    "data": [
        None,
        1,
        "text",
        b"bytes",
        [b"a"],
        object(),
        ROWS[0],
        ROWS.astype(np.int8),
        np.zeros((2, 2), object),
    ],
    "dst": [None, 1, "text", bytearray(b"d"), ROWS, b"", b"d" * 256],
    "algorithm": [None, 1, b"sha256", "md5", "", ["sha256"], np.array(["sha256", "sm3"])],
    "threads": [
        0,
        -1,
        4097,
        1 << 80,
        True,
        1.0,
        "2",
        [1],
        np.float64(2),
        np.int64(0),
        np.bool_(True),
        object(),
    ],
    "backend": ["", "abacus", "größer", "\ud800", b"portable", 1, True, ["portable"], object()],
    "out": [1, [b""], b"\0" * 64, ROWS.astype(np.int8), ROWS[0][:5], np.zeros((3, 32), np.uint8), object()],
}
for _name in ARRAYS:
    WRONG[_name] = [None, 1, b"\0" * 32, [0] * 32, ROWS.astype(np.int8), ROWS[:, :31], ROWS[None], object()]
for _name in ("data", *ARRAYS, "out"):
    WRONG[_name] += [OnDevice(), OnDeviceWithoutLayout()]

CASES = [
    (name, argument, i) for name, has in HAS.items() for argument in has for i in range(len(WRONG[argument]))
]


def refusal(function: Callable[..., Any], **arguments: Any) -> str:
    with pytest.raises((TypeError, ValueError, BackendUnavailable)) as caught:
        function(**arguments)
    return str(caught.value)


@pytest.mark.parametrize(("name", "argument", "i"), [c for c in CASES if WRONG[c[1]][c[2]] is not None])
def test_every_wrong_argument_has_its_own_line(name: str, argument: str, i: int) -> None:
    function, good = CALLS[name]
    out = {"out": np.full((2, 32), 7, np.uint8)} if "out" in HAS[name] else {}
    line = refusal(function, **(good | out | {argument: WRONG[argument][i]}))
    assert argument in line
    assert "\n" not in line
    assert "pybind11" not in line
    assert "incompatible function arguments" not in line
    assert len(line) < 250
    assert all((array == 7).all() for array in out.values())


def test_what_was_given_and_what_to_give() -> None:
    for arguments, text in (
        ({"threads": 0}, "threads is 0: give 1 to 4096, or None for the default"),
        ({"threads": True}, "threads is bool: give an int, or None for the default"),
        ({"backend": 1}, "backend is int: give a str, or None for the best"),
        (
            {"backend": ""},
            "backend is '': give a name that crypsis.backends.runnable() lists, or None for the best",
        ),
    ):
        for function, data in (
            (hashing.sha256, {"data": ROWS}),
            (curve25519.map_to_curve, {"elements": ROWS}),
        ):
            assert refusal(function, **data, **arguments) == text
    assert "random_oracle is str" in refusal(
        curve25519.hash_to_curve, data=ROWS, dst=b"d", random_oracle="no"
    )


@pytest.mark.parametrize("array", [OnDevice(), OnDeviceWithoutLayout()])
def test_arrays_of_a_gpu_are_refused_with_a_remedy(array: object) -> None:
    for name, (function, good) in CALLS.items():
        for argument in {"data", *ARRAYS} & set(HAS[name]):
            with pytest.raises(
                TypeError, match=rf"{argument} is OnDevice.* in a GPU's memory: .*cupy.asnumpy"
            ):
                function(**(good | {argument: array}))


@pytest.mark.parametrize("threads", [1, 2, 4096, np.int64(1), np.uint8(2), None])
def test_numbers_of_threads(threads: Any) -> None:
    for name, (function, good) in CALLS.items():
        if "threads" in HAS[name]:
            function(**good, threads=threads)


@pytest.mark.parametrize("text", ["abc", "0", "4097", "4\r", "1\n2"])
def test_a_wrong_number_in_the_environment_is_told_by_every_function(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("CRYPSIS_NUM_THREADS", text)
    shown = text.replace("\r", "?").replace("\n", "?")
    wanted = f"CRYPSIS_NUM_THREADS is '{shown}': set it to a whole number from 1 to 4096, or unset it"
    for name, (function, good) in CALLS.items():
        if "threads" in HAS[name]:
            for data in (good, good | {"data": pa.array([], pa.string())} if "data" in good else good):
                with pytest.raises(ValueError, match="CRYPSIS_NUM_THREADS") as caught:
                    function(**data)
                assert str(caught.value) == wanted
            function(**good, threads=1)


def test_messages_are_read_alike_by_all_that_hash() -> None:
    """Fixed-size binary, integers, rows with gaps and chunks, each as the plain column of the same bytes."""
    texts = [b"abcd", b"efgh", b"ijkl"]
    plain = pa.array(texts, pa.binary())
    wide = np.frombuffer(b"abcd--efgh--ijkl--", np.uint8).reshape(3, 6)
    numbers = pa.array([1, 2, 300], pa.int16())
    as_bytes = pa.array([i.to_bytes(8, "little") for i in (1, 2, 300)], pa.binary())
    for batch, same in (
        (pa.array(texts, pa.binary(4)), plain),
        (pa.array([b"skip", *texts], pa.binary(4))[1:], plain),
        (wide[:, :4], plain),
        (pa.chunked_array([texts[:1], [], texts[1:]], pa.large_binary()), plain),
        (pa.chunked_array([texts[:2], texts[2:]], pa.binary(4)), plain),
        (numbers, as_bytes),
        (pa.array([5, 2**63], pa.uint64()), pa.array([b"\5" + bytes(7), bytes(7) + b"\x80\0"], pa.binary())),
    ):
        assert (hashing.sha256(batch) == hashing.sha256(same)).all()
        assert (curve25519.sha256_to_u(batch) == hashing.sha256(same)).all()
        for random_oracle in (True, False):
            found = curve25519.hash_to_curve(batch, b"d", random_oracle=random_oracle)
            wanted = curve25519.hash_to_curve(same, b"d", random_oracle=random_oracle)
            assert (np.array(found) == np.array(wanted)).all()


def test_many_chunks_and_threads_keep_the_order() -> None:
    messages = [b"%d" % i for i in range(700)]
    ends = [0, 1, 1, 130, 131, 400, 700]
    chunks = [messages[a:b] for a, b in pairwise(ends)]
    wanted = np.array(curve25519.hash_to_curve(pa.array(messages, pa.binary()), b"d", threads=1))
    for threads in (1, 3):
        found = curve25519.hash_to_curve(pa.chunked_array(chunks, pa.binary()), b"d", threads=threads)
        assert (np.array(found) == wanted).all()


@pytest.mark.parametrize("offsets", [[0, 5, 3, 8], [0, 3, 6, 9], [-1, 3, 5, 8]])
def test_damaged_offsets_are_refused_by_hash_to_curve(offsets: list[int]) -> None:
    memory = np.array([0, 3, 5, 8], np.int32)
    damaged = pa.Array.from_buffers(pa.binary(), 3, [None, pa.py_buffer(memory), pa.py_buffer(b"8 bytes.")])
    memory[:] = offsets
    with pytest.raises(ValueError, match="offsets decrease or point outside"):
        curve25519.hash_to_curve(damaged, b"d")
