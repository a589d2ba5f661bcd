# SPDX-License-Identifier: Apache-2.0
"""bitmatrix: bad arguments are refused with a message that says what to give, and `out` stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crypsis import bitmatrix
from crypsis.errors import BackendUnavailable


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.uint8)


CALLS: dict[str, Callable[..., Any]] = {
    "transpose": lambda **o: bitmatrix.transpose(zeros(16, 3), **o),
    "gf128_multiply": lambda **o: bitmatrix.gf128_multiply(zeros(24, 16)[:3], zeros(16), **o),
    "gf64_multiply": lambda **o: bitmatrix.gf64_multiply(zeros(3, 8), zeros(16), **o),
    "gf128_inner_product": lambda **o: bitmatrix.gf128_inner_product(zeros(24, 5, 16), zeros(5, 16), **o),
    "gf64_inner_product": lambda **o: bitmatrix.gf64_inner_product(zeros(24, 5, 8), zeros(5, 8), **o),
    "gf128_powers": lambda **o: bitmatrix.gf128_powers(zeros(16), 4, **o),
    "gf2k_multiply": lambda **o: bitmatrix.gf2k_multiply(zeros(9), zeros(9), k=3, **o),
    "gf2k_multiply_sliced": lambda **o: bitmatrix.gf2k_multiply_sliced(zeros(3, 9), 5, **o),
    "pack_elements": lambda **o: bitmatrix.pack_elements(zeros(9), k=3, **o),
    "unpack_elements": lambda **o: bitmatrix.unpack_elements(zeros(4), 10, k=3, **o),
}
each_function = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@each_function
def test_options_are_checked(call: Callable[..., Any]) -> None:
    shape = call().shape
    with pytest.raises(BackendUnavailable, match="'sse9' does not exist for bitmatrix"):
        call(backend="sse9")
    for threads in (0, -1, 5000):
        with pytest.raises(ValueError, match="threads is"):
            call(threads=threads)
    with pytest.raises(TypeError, match="threads is str"):
        call(threads="2")
    with pytest.raises(TypeError, match="backend is int"):
        call(backend=3)
    with pytest.raises(ValueError, match="out has shape"):
        call(out=zeros(*shape, 1))
    with pytest.raises(TypeError, match="out is an array of int64"):
        call(out=np.zeros(shape, np.int64))
    read_only = zeros(*shape)
    read_only.setflags(write=False)
    with pytest.raises(ValueError, match="read-only"):
        call(out=read_only)
    out = np.full(shape, 7, np.uint8)
    with pytest.raises(BackendUnavailable):
        call(out=out, backend="sse9")
    assert (out == 7).all()
    assert call(out=out) is out
    assert np.array_equal(out, call())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bitmatrix.transpose(zeros(7, 3)), r"bits has shape \(7, 3\)"),
        (lambda: bitmatrix.transpose(zeros(8)), "bits has shape"),
        (lambda: bitmatrix.transpose(zeros(8, 4)[:, ::2]), "bits is not C-contiguous"),
        (lambda: bitmatrix.pack_bits(np.uint8([0, 1, 2])), "values holds a value above 1"),
        (lambda: bitmatrix.pack_bits(zeros()), "values has no axis"),
        (lambda: bitmatrix.unpack_bits(zeros()), "packed has no axis"),
        (lambda: bitmatrix.unpack_bits(np.uint8([0, 8]), 11), "bits set after the first 11"),
        (lambda: bitmatrix.unpack_bits(zeros(2), 8), "n_bits is 8: give 9 to 16"),
        (lambda: bitmatrix.unpack_bits(zeros(2), 17), "n_bits is 17"),
        (lambda: bitmatrix.gf128_multiply(zeros(3, 15), zeros(3, 15)), r"a has shape \(3, 15\)"),
        (lambda: bitmatrix.gf128_multiply(zeros(3, 16), zeros(2, 16)), r"b has shape \(2, 16\)"),
        (lambda: bitmatrix.gf128_multiply(zeros(3, 16), zeros(1, 16)), r"b has shape \(1, 16\)"),
        (lambda: bitmatrix.gf128_multiply(zeros(16), zeros(16)), "a has shape"),
        (lambda: bitmatrix.gf128_multiply(zeros(3, 16), zeros(16), add=zeros(2, 16)), "add has shape"),
        (lambda: bitmatrix.gf64_multiply(zeros(3, 16), zeros(16)), r"elements has shape \(3, 16\)"),
        (lambda: bitmatrix.gf64_multiply(zeros(3, 8), zeros(8)), r"pair has shape \(8,\)"),
        (lambda: bitmatrix.gf64_multiply(zeros(3, 8), zeros(16), add=zeros(3, 8)), "add has shape"),
        (lambda: bitmatrix.gf128_inner_product(zeros(2, 3, 16), zeros(4, 16)), "a has shape"),
        (lambda: bitmatrix.gf128_inner_product(zeros(16), zeros(1, 16)), "a has shape"),
        (lambda: bitmatrix.gf64_inner_product(zeros(2, 16), zeros(2, 16)), r"b has shape \(2, 16\)"),
        (lambda: bitmatrix.gf128_powers(zeros(1, 16), 2), "x has shape"),
        (lambda: bitmatrix.gf128_powers(zeros(16), -1), "n is -1"),
        (lambda: bitmatrix.gf2k_multiply(zeros(3), zeros(3), k=0), "k is 0: give 1 to 8"),
        (lambda: bitmatrix.gf2k_multiply(zeros(3), zeros(3), k=9), "k is 9"),
        (lambda: bitmatrix.gf2k_multiply(zeros(3), zeros(1), k=4), "give uint8"),
        (lambda: bitmatrix.gf2k_multiply(np.uint8([3, 16]), 1, k=4), "a holds a value above 15"),
        (lambda: bitmatrix.gf2k_multiply(zeros(2), np.uint8([3, 16]), k=4), "b holds a value above 15"),
        (lambda: bitmatrix.gf2k_multiply(zeros(2), 16, k=4), "b is 16: give 0 to 15"),
        (lambda: bitmatrix.gf2k_multiply_sliced(zeros(9, 2), 1), "a has shape"),
        (lambda: bitmatrix.gf2k_multiply_sliced(zeros(4, 2), 16), "b is 16"),
        (lambda: bitmatrix.gf2k_multiply_sliced(zeros(4, 2), zeros(4, 1)), "give the same shape"),
        (lambda: bitmatrix.slice_elements(zeros(7), k=2), "n a multiple of 8"),
        (lambda: bitmatrix.slice_elements(np.full(8, 4, np.uint8), k=2), "elements holds a value above 3"),
        (lambda: bitmatrix.unslice_elements(zeros(0, 4)), "planes has shape"),
        (lambda: bitmatrix.pack_elements(zeros(2, 2), k=2), "elements has shape"),
        (lambda: bitmatrix.pack_elements(np.uint8([4]), k=2), "elements holds a value above 3"),
        (lambda: bitmatrix.unpack_elements(zeros(4), 11, k=3), "11 elements of 3 bits are 5 bytes"),
        (lambda: bitmatrix.unpack_elements(np.uint8([0, 128]), 5, k=3), "bits set after the first 15"),
        (lambda: bitmatrix.unpack_elements(zeros(2), -1, k=3), "n is -1"),
    ],
)
def test_bad_values(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("bad", [[1, 2], b"12345678", np.zeros((8, 2)), None, np.zeros((8, 2), bool)])
def test_bad_types(bad: Any) -> None:
    for call in (
        bitmatrix.transpose,
        bitmatrix.pack_bits,
        bitmatrix.unpack_bits,
        bitmatrix.unslice_elements,
        lambda value: bitmatrix.gf128_multiply(value, zeros(16)),
        lambda value: bitmatrix.gf128_multiply(zeros(2, 16), value),
        lambda value: bitmatrix.gf2k_multiply(value, 1, k=2),
    ):
        with pytest.raises(TypeError, match="give"):
            call(bad)
    with pytest.raises(TypeError, match="b is float: give an int"):
        bitmatrix.gf2k_multiply(zeros(2), 1.0, k=2)  # type: ignore[arg-type]


def test_outputs_that_overlap_an_input_are_refused() -> None:
    memory = zeros(256)
    matrix = memory[:128].reshape(8, 16)
    with pytest.raises(ValueError, match="out overlaps bits"):
        bitmatrix.transpose(matrix, out=memory[64:192].reshape(128, 1))
    elements = memory.reshape(16, 16)
    with pytest.raises(ValueError, match="out overlaps a"):
        bitmatrix.gf128_multiply(elements[:8], zeros(16), out=elements[:8])
    with pytest.raises(ValueError, match="out overlaps b"):
        bitmatrix.gf128_multiply(zeros(8, 16), elements[0], out=elements[:8])
    with pytest.raises(ValueError, match="out overlaps add"):
        bitmatrix.gf128_multiply(zeros(8, 16), zeros(16), add=elements[1:9], out=elements[:8])
    with pytest.raises(ValueError, match="out overlaps elements"):
        bitmatrix.gf64_multiply(memory[:64].reshape(8, 8), zeros(16), out=elements[:8])
    with pytest.raises(ValueError, match="out overlaps x"):
        bitmatrix.gf128_powers(memory[16:32], 4, out=elements[:4])
    with pytest.raises(ValueError, match="out overlaps b"):
        bitmatrix.gf128_inner_product(zeros(2, 4, 16), elements[:4], out=elements[3:5])
    with pytest.raises(ValueError, match="out overlaps b"):
        bitmatrix.gf2k_multiply(zeros(4), memory[:4], k=1, out=memory[2:6])
    with pytest.raises(ValueError, match="out overlaps values"):
        bitmatrix.pack_bits(memory[:8], out=memory[:1])


def test_range_errors_do_not_touch_out() -> None:
    out = np.full(2, 7, np.uint8)
    for call in (
        lambda: bitmatrix.gf2k_multiply(np.uint8([1, 9]), 1, k=3, out=out),
        lambda: bitmatrix.pack_bits(np.full(16, 2, np.uint8), out=out),
        lambda: bitmatrix.unpack_elements(np.uint8([0x80]), 2, k=3, out=out),
    ):
        with pytest.raises(ValueError, match="give"):
            call()
    assert (out == 7).all()
