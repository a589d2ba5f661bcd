# SPDX-License-Identifier: Apache-2.0
"""kernels/okvs: the steps of `peel` against a queue that takes one column after the other, whatever the rows."""

from __future__ import annotations

from itertools import pairwise, permutations, product

import numpy as np
import pytest

from crypsis.cuda import Device
from crypsis.cuda import okvs as cuda_okvs
from cuda_on_cpu.device import ShimDevice
from properties import given, settings, st
from reference import okvs as reference

Row = tuple[int, int, int]
DEVICES = {"forward": ShimDevice("forward"), "reversed": ShimDevice("reversed")}


def state_of(rows: list[Row], sparse: int) -> np.ndarray:
    """The words that `add_rows` leaves: kernels/okvs/rows.cuh."""
    words = [0] * sparse
    for i, row in enumerate(rows):
        for place, column in enumerate(row):
            following = row[(place + 1) % 3], row[(place + 2) % 3]
            words[column] += i << 48 | following[1] << 32 | following[0] << 16 | 1
    return np.array([word % 2**64 for word in words], np.uint64)


def peel(
    device: Device, bins: list[list[Row]], sparse: int, block: int
) -> list[tuple[list[tuple[int, int]], list[int]]]:
    """For each bin ([(column, row)] in the kernel's order, first record of each step and their number)."""
    n, longest = len(bins), max(1, *(len(rows) for rows in bins))
    state = device.from_host(np.stack([state_of(rows, sparse) for rows in bins]))
    order, queue = device.empty((n, sparse), np.uint32), device.empty((n, sparse), np.uint16)
    records, steps = device.empty((n, longest), np.uint64), device.empty((n, longest + 1), np.uint16)
    counts = device.empty((n, 2), np.uint32)
    job = np.array((0, 0, sparse, 1, longest, 1), cuda_okvs._JOB)[()]
    arrays = [state, order, queue, records, steps, counts, job]
    device.launch("okvs", "peel", grid=n, block=block, args=arrays)
    found = []
    for i, (n_records, n_steps) in enumerate(device.to_host(counts).tolist()):
        taken = device.to_host(records)[i, :n_records]
        begins = device.to_host(steps)[i, : n_steps + 1].tolist()
        assert begins[-1] == n_records
        found.append(([(int(r) & 0xFFFF, int(r) >> 48) for r in taken], begins))
    return found


def check(device: Device, bins: list[list[Row]], sparse: int, block: int) -> list[int]:
    """Order and rows are the queue's; rows of a step are independent. The number of steps of each bin."""
    steps = []
    for rows, (order, begins) in zip(bins, peel(device, bins, sparse, block), strict=True):
        assert order == reference.peel(rows, sparse)[0]
        assert begins == sorted(set(begins))
        for begin, end in pairwise(begins):
            own = {column for column, _ in order[begin:end]}
            for column, i in order[begin:end]:
                assert own & set(rows[i]) == {column}
        steps.append(len(begins) - 1)
    return steps


def random_rows(seed: int, n: int, sparse: int) -> list[Row]:
    rng = np.random.default_rng([2026, seed])
    return [(int(a), int(b), int(c)) for a, b, c in (rng.permutation(sparse)[:3] for _ in range(n))]


@st.composite
def matrices(draw: st.DrawFn) -> tuple[int, list[list[Row]]]:
    sparse = draw(st.integers(3, 70))
    row = st.permutations(range(sparse)).map(lambda order: (order[0], order[1], order[2]))
    few = st.integers(3, min(sparse, 9)).flatmap(
        lambda m: st.permutations(range(m)).map(lambda order: (order[0], order[1], order[2]))
    )
    return sparse, draw(
        st.lists(st.lists(row, max_size=60) | st.lists(few, max_size=12), min_size=1, max_size=3)
    )


@settings(deadline=None, max_examples=150)
@given(matrices(), st.sampled_from([32, 64]), st.sampled_from(sorted(DEVICES)))
def test_any_rows(given: tuple[int, list[list[Row]]], block: int, order: str) -> None:
    """Rows given twice, columns that three rows share, bins of very different fill, empty ones."""
    sparse, bins = given
    check(DEVICES[order], bins, sparse, block)


def test_all_three_rows_of_four_columns(shim_device: ShimDevice) -> None:
    """13,824 matrices: every way in which columns come to one row and to none at once."""
    any_row: list[Row] = list(permutations(range(4), 3))
    check(shim_device, [list(rows) for rows in product(any_row, repeat=3)], 4, 32)


@pytest.mark.parametrize("block", [32, 96, 512])
def test_random_rows_of_every_density(shim_device: ShimDevice, block: int) -> None:
    """From nearly no rows to more than peeling can take; the threshold is at 0.818 rows a column."""
    sparse = 300
    bins = [random_rows(i, n, sparse) for i, n in enumerate((0, 1, 2, 30, 200, 235, 240, 243, 246, 250, 299))]
    steps = check(shim_device, bins, sparse, block)
    assert max(steps) > 10


@pytest.mark.parametrize("backwards", [False, True])
def test_chains_take_a_step_a_row(shim_device: ShimDevice, backwards: bool) -> None:
    """Each row waits for the one before; two chains that meet, and a column that goes to no row in the same step."""
    n = 100
    chain = [(2 * i, 2 * i + 1, 2 * i + 2) for i in range(n)]
    ends = [(0, 2 * n, 2 * n + 1), (0, 2 * n, 2 * n + 2)]  # only the chain's middle columns begin
    bins = [chain, chain + ends, [(c, b, a) for a, b, c in chain], [(b, c, a) for a, b, c in chain + ends]]
    if backwards:
        bins = [rows[::-1] for rows in bins]
    check(shim_device, bins, 2 * n + 3, 32)
    ladder = [(i, i + 1, i + 2) for i in range(n)]
    steps = check(shim_device, [ladder, ladder[::-1]], n + 2, 64)
    assert min(steps) >= n // 2


def test_one_row_wanted_by_three_columns(shim_device: ShimDevice) -> None:
    """All columns have one row each: the lowest column of each row takes it, wherever it stands in the row."""
    rng = np.random.default_rng(7)
    sparse = 3 * 70
    order = rng.permutation(sparse).reshape(70, 3)
    rows = [(int(a), int(b), int(c)) for a, b, c in order]
    check(shim_device, [rows], sparse, 32)
    (found, begins), *_ = peel(shim_device, [rows], sparse, 512)
    assert begins == [0, 70]
    assert found == sorted((min(row), i) for i, row in enumerate(rows))


def test_counts_up_to_all_keys_of_a_bin(shim_device: ShimDevice) -> None:
    """65,535 rows in three columns, then one of them alone: a count never runs into the row's part of a word."""
    many = [(0, 1, 2)] * 65_534 + [(2, 0, 3)]
    assert peel(shim_device, [many], 5, 64)[0] == ([(3, 65_534)], [0, 1])


@pytest.mark.gpu
def test_gpu_random_rows(gpu_device: Device) -> None:
    for seed in range(5):
        bins = [random_rows(seed * 100 + i, n, 3000) for i, n in enumerate((0, 2000, 2400, 2430, 2450, 2500))]
        for block in (32, 512, 1024):
            check(gpu_device, bins, 3000, block)
