# SPDX-License-Identifier: Apache-2.0
"""kernels/curve25519 on the shim with numbers that Hypothesis finds; a file of its own: a GPU's machine may lack it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import test_cuda_curve25519_field as field
from crypsis import curve25519
from crypsis.cuda._registry import registered
from cuda_on_cpu.device import ShimDevice
from reference import curve25519 as reference

# Limbs of zeros, ones and of anything: carries that run, stop and wrap.
limbs = st.one_of(st.sampled_from([0, 1, 2**31, 2**32 - 1]), st.integers(0, 2**32 - 1))
elements = st.one_of(
    st.lists(limbs, min_size=8, max_size=8).map(lambda x: sum(v << 32 * i for i, v in enumerate(x))),
    st.integers(-64, 64).map(lambda d: (field.P + d) % 2**256),
    st.integers(0, 127).map(lambda d: 2**256 - 1 - d),
)
rows32 = st.binary(min_size=32, max_size=32)


@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(elements, elements), min_size=1, max_size=40))
def test_field(pairs: list[tuple[int, int]]) -> None:
    field.check(field.shim, [a for a, _ in pairs], [b for _, b in pairs])


@pytest.mark.parametrize("order", ["forward", "reversed"])
@settings(max_examples=20, deadline=None)
@given(scalars=st.lists(rows32, min_size=2, max_size=2), points=st.lists(rows32, min_size=1, max_size=70))
def test_scalars_commute_and_batches_are_their_rows(
    order: str, scalars: list[bytes], points: list[bytes]
) -> None:
    a, b = (np.frombuffer(k, np.uint8) for k in scalars)
    batch = np.frombuffer(b"".join(points), np.uint8).reshape(-1, 32)
    with registered(ShimDevice(order)) as device:  # type: ignore[arg-type]
        x, y, u = (device.from_host(array) for array in (a, b, batch))
        ab = curve25519.scalar_mult(x, curve25519.scalar_mult(y, u)).get()
        ba = curve25519.scalar_mult(y, curve25519.scalar_mult(x, u)).get()
        mapped = curve25519.map_to_curve(u).get()
    assert (ab == ba).all()
    assert ab[0].tobytes() == reference.x25519(scalars[0], reference.x25519(scalars[1], points[0]))
    assert (mapped == curve25519.map_to_curve(batch)).all()
