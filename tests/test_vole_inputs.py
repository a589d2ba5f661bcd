# SPDX-License-Identifier: Apache-2.0
"""vole: what is refused, and that outputs stay untouched."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from crypsis import vole
from crypsis.errors import BackendUnavailable

SEEDS = np.zeros((2, 16), np.uint8)
LEAVES = np.zeros((512, 16), np.uint8)
FULL = vole.SmallField(4, LEAVES)
PUNCTURED = vole.SmallField(4, LEAVES, bytes(16))


def extend(**changes: object) -> None:
    arguments = {
        "choices": None,
        "corrections": np.empty(31 * 16, np.uint8),
        "rows": np.empty((128, 16), np.uint8),
        **changes,
    }
    first, n_blocks = arguments.pop("first", 0), arguments.pop("n_blocks", 1)
    FULL.extend_full(first, n_blocks, **arguments)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: vole.expand_trees(SEEDS, 0), ValueError, "depth is 0: give 1 to 24"),
        (lambda: vole.expand_trees(SEEDS, 25), ValueError, "depth is 25"),
        (lambda: vole.expand_trees(SEEDS, True), TypeError, "depth is bool"),
        (lambda: vole.expand_trees(SEEDS[:, :15], 3), ValueError, "seeds has shape"),
        (lambda: vole.expand_trees(SEEDS.astype(np.int8), 3), TypeError, "seeds is an array of int8"),
        (
            lambda: vole.expand_trees(SEEDS, 3, leaves=np.empty((2, 8, 15), np.uint8)),
            ValueError,
            "leaves has",
        ),
        (
            lambda: vole.expand_trees(SEEDS, 3, sums=np.empty((2, 3, 16), np.uint8)),
            ValueError,
            "sums has shape",
        ),
        (lambda: vole.expand_trees(SEEDS, 3, backend="sse9"), BackendUnavailable, "sse9"),
        (
            lambda: vole.reconstruct_trees(np.zeros((1, 3, 16), np.uint8), np.array([8], np.uint64), 3),
            ValueError,
            "no such leaf",
        ),
        (
            lambda: vole.reconstruct_trees(np.zeros((1, 3, 16), np.uint8), np.array([1]), 3),
            TypeError,
            "positions is an array of int64",
        ),
        (
            lambda: vole.reconstruct_trees(np.zeros((2, 3, 16), np.uint8), np.array([1], np.uint64), 3),
            ValueError,
            "positions has shape",
        ),
        (lambda: vole.tree_depths(0), ValueError, "k is 0: give 1 to 8"),
        (lambda: vole.tree_depths(9), ValueError, "k is 9"),
        (lambda: vole.SmallField(4, LEAVES[:511]), ValueError, "leaves has 511 blocks"),
        (lambda: vole.SmallField(4, LEAVES, bytes(15)), ValueError, "delta has 15 bytes"),
        (lambda: extend(first=-1), ValueError, "first_block is -1"),
        (lambda: extend(first=2**64 - 1), ValueError, "first_block is"),
        (lambda: extend(n_blocks=0), ValueError, "n_blocks is 0"),
        (lambda: extend(corrections=np.empty(32 * 16, np.uint8)), ValueError, "corrections has shape"),
        (lambda: extend(choices=np.zeros(15, np.uint8)), ValueError, "choices has shape"),
        (lambda: extend(rows=None), ValueError, "rows and columns are None"),
        (lambda: extend(rows=np.empty((129, 16), np.uint8)), ValueError, "rows has shape"),
        (lambda: extend(columns=np.empty(5, np.uint8)), ValueError, "columns has shape"),
        (lambda: extend(bits=np.empty(15, np.uint8)), ValueError, "bits has shape"),
        (
            lambda: PUNCTURED.extend_full(0, 1, choices=None, corrections=np.empty(496, np.uint8)),
            ValueError,
            "use extend_punctured",
        ),
        (
            lambda: FULL.extend_punctured(0, 1, chosen=False, corrections=np.empty(496, np.uint8)),
            ValueError,
            "use extend_full",
        ),
        (
            lambda: PUNCTURED.extend_punctured(0, 1, chosen=1, corrections=np.empty(496, np.uint8)),
            TypeError,
            "chosen is int",
        ),
        (lambda: vole.hash_columns(b"short", LEAVES, 1), ValueError, "challenge has 5 bytes"),
        (lambda: vole.random_keys(SEEDS, delta=b"1"), ValueError, "delta has 1 bytes"),
        (lambda: vole.random_keys(SEEDS, tweak=-1), ValueError, "tweak is -1"),
        (lambda: vole.random_keys(SEEDS, tweak=2**64 - 1), ValueError, "tweak overflows"),
        (lambda: vole.random_keys(SEEDS, delta=bytes(16), out=SEEDS), ValueError, "out has shape"),
    ],
)
def test_refused(call: Callable[[], object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_overlapping_arrays_are_refused() -> None:
    memory = np.zeros(17 * 16, np.uint8)
    seeds, leaves = memory[:16].reshape(1, 16), memory[16:].reshape(1, 16, 16)
    vole.expand_trees(seeds, 4, leaves=leaves)
    with pytest.raises(ValueError, match="overlaps"):
        vole.expand_trees(seeds, 4, leaves=memory[: 16 * 16].reshape(1, 16, 16))
    with pytest.raises(ValueError, match="overlaps"):
        vole.random_keys(leaves[0, :8], out=leaves[0, 4:12])


def test_a_read_only_output_is_refused_untouched() -> None:
    out = np.full((2, 8, 16), 7, np.uint8)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        vole.expand_trees(SEEDS, 3, leaves=out)
    assert (out == 7).all()


def test_unaligned_and_empty_inputs() -> None:
    raw = np.arange(16 * 40 + 1, dtype=np.uint16).astype(np.uint8)
    shifted, copy = raw[1:].reshape(40, 16), raw[1:].reshape(40, 16).copy()
    np.testing.assert_array_equal(vole.random_keys(shifted), vole.random_keys(copy))
    np.testing.assert_array_equal(vole.expand_trees(shifted, 3)[0], vole.expand_trees(copy, 3)[0])
    assert vole.random_keys(shifted[:0]).shape == (0, 16)
    assert vole.expand_trees(shifted[:0], 2)[0].shape == (0, 4, 16)
