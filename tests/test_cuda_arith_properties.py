# SPDX-License-Identifier: Apache-2.0
"""kernels/common on the shim with numbers that Hypothesis finds; a file of its own: a GPU's machine may lack it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from test_cuda_arith import EDGES, M32, expected_steps, shim, single_steps

limb = st.one_of(st.sampled_from(EDGES), st.integers(0, M32))


@settings(max_examples=50)
@given(st.lists(st.tuples(limb, limb, limb, st.integers(0, 1)), min_size=1, max_size=70))
def test_single_steps(cases: list[tuple[int, int, int, int]]) -> None:
    got = single_steps(shim(order="reversed"), np.array(cases, np.uint32))
    assert got.tolist() == [expected_steps(*case) for case in cases]
