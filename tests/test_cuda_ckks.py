# SPDX-License-Identifier: Apache-2.0
"""`crypsis.ckks` on a GPU: the bits of the host's results, without anything moving by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ckks_cases import check, numbers, parameters, secret_key
from crypsis import ckks
from crypsis.cuda import Device
from cuda_on_cpu.device import ShimDevice

SMALL = ckks.Literal(4, (50, 40, 40), (50,), 40)
"""The shim runs a kernel's threads one after the other."""


def operations(public: ckks.PublicKey) -> dict[str, Callable[[Any, Any], Any]]:
    w = numbers(8, seed=5)
    plain = public.encode(w)
    rows = public.encode(numbers(3, 8, seed=6))
    matrix = ckks.Matrix(public.parameters, numbers(8, 8, seed=7), period=8, babies=4)
    series = ckks.chebyshev(np.exp, 3)
    return {
        "add": lambda a, b: a + b,
        "subtract": lambda a, b: a - b,
        "negate": lambda a, b: -a,
        "multiply": lambda a, b: a * b,
        "broadcast": lambda a, b: a[0] * b,
        "square": lambda a, b: a.square(),
        "lazy": lambda a, b: (
            (a.multiply(b, relinearise=False, rescale=False) + b.square(relinearise=False, rescale=False))
            .relinearise()
            .rescale()
        ),
        "sizes": lambda a, b: (
            a.multiply(b, relinearise=False, rescale=False) + a.multiply(0.5, rescale=False)
        ),
        "levels": lambda a, b: a * b + a,
        "number": lambda a, b: 0.3 * a + 0.5,
        "integer": lambda a, b: 3 * a,
        "vector": lambda a, b: a * w - w,
        "plaintext": lambda a, b: a * plain,
        "plaintexts": lambda a, b: a * rows,
        "rotate": lambda a, b: a.rotate(1),
        "rotate many": lambda a, b: a.rotate_many((0, 1, -1)),
        "conjugate": lambda a, b: a.conjugate(),
        "inner sum": lambda a, b: a.inner_sum(7),
        "dot": lambda a, b: a.dot(w),
        "matrix": lambda a, b: matrix @ a,
        "polynomial": lambda a, b: a.polynomial([0.5, 1, -1, 0.25]),
        "series": lambda a, b: a.polynomial(series),
        "sum": lambda a, b: a.sum(),
        "index": lambda a, b: a[1:],
        "stack": lambda a, b: ckks.stack([a, b]),
    }


def check_operations(literal: ckks.Literal) -> tuple[ckks.SecretKey, ckks.CkksArray, ckks.CkksArray]:
    """Every operation in both places; the key, the first array on the device, the second on the host."""
    secret = secret_key(literal)
    public = secret.public_key(rotations=(1, 2, 3, 4, -1), conjugate=True)
    a = public.encrypt(numbers(3, 8), magnitude=1)
    b = secret.encrypt(numbers(3, 8, seed=1), magnitude=1)
    there_a, there_b = a.to("cuda"), b.to("cuda:0")
    assert there_a.device == "cuda:0"
    assert there_a.to("cuda") is there_a
    assert a.device == "cpu"
    for name, operation in operations(public).items():
        expected, found = operation(a, b), operation(there_a, there_b)
        assert found.device == "cuda:0", name
        assert np.array_equal(found.to("cpu").data, expected.data), name
        assert (found.level, found.scale, found.shape) == (expected.level, expected.scale, expected.shape), (
            name
        )
    loaded = ckks.CkksArray.from_bytes(there_a.to_bytes(), insecure_allow_weak=True)
    assert np.array_equal(loaded.data, a.data)
    return secret, there_a, b


def test_operations_have_the_bits_of_the_host(shim_device: ShimDevice) -> None:
    secret, there_a, b = check_operations(SMALL)
    check(secret, there_a * b.to("cuda:0"), numbers(3, 8) * numbers(3, 8, seed=1))
    with pytest.raises(ValueError, match=r"on cuda:0 and cpu.*\.to\('cuda:0'\)"):
        there_a + b
    with pytest.raises(ValueError, match="device"):
        b.to("tpu")
    assert parameters(SMALL).n == 16


@pytest.mark.gpu
@pytest.mark.parametrize("log_n", [11, 14], ids=["one pass", "two passes"])
def test_gpu_operations_have_the_bits_of_the_host(gpu_device: Device, log_n: int) -> None:
    check_operations(ckks.Literal(log_n, (50, 40, 40), (50,), 40))  # 11: weak, and quick


@pytest.mark.gpu
@pytest.mark.parametrize("literal", [ckks.SHALLOW, ckks.DEEP], ids=["shallow", "deep"])
def test_gpu_products_and_rotations_of_the_published_parameters(
    gpu_device: Device, literal: ckks.Literal
) -> None:
    secret = ckks.SecretKey(ckks.Parameters(literal), bytes(32))
    public = secret.public_key(rotations=(1,))
    a, b = (public.encrypt(numbers(2, 100, seed=i), magnitude=1) for i in range(2))
    found = (a.to("cuda") * b.to("cuda")).rotate(1).to("cpu")
    assert np.array_equal(found.data, (a * b).rotate(1).data)
