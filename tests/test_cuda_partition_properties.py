# SPDX-License-Identifier: Apache-2.0
"""kernels/partition on the shim device against the reference, by Hypothesis."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis.cuda._registry import registered
from cuda_on_cpu.device import ShimDevice
from partition_cases import as_list, halves
from reference import partition as reference
from test_cuda_partition import call, limits


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(0, 300),
    width=st.integers(8, 16),
    values=st.sampled_from([2, 3, 256]),
    n_bins=st.integers(1, 20),
)
def test_the_reference(seed: int, n: int, width: int, values: int, n_bins: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, values, (n, 16), np.uint8)
    starts = halves(n, n_bins, seed)
    with registered(ShimDevice("reversed" if seed % 2 else "forward")) as device:
        found = call(device, "by_bin", rows, n_bins)
        assert (as_list(found.keys.get()), found.order.get().tolist(), found.starts.get().tolist()) == (
            reference.by_bin(as_list(rows), n_bins)
        )
        groups = [array.get() for array in call(device, "group", rows, n_bins)]
        assert (as_list(groups[0]), *(array.tolist() for array in groups[1:])) == (
            reference.group(as_list(rows), n_bins)
        )
        tags = np.ascontiguousarray(rows[:, :width])
        found = call(device, "sort_tags", tags, limits(*starts))
        wanted = reference.sort_tags(as_list(tags), starts)
        assert (as_list(found.tags.get()), found.order.get().tolist()) == wanted
