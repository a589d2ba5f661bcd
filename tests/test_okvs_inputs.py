# SPDX-License-Identifier: Apache-2.0
"""okvs: adversarial keys, edges of sizes and memory, wrong arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crypsis import backends, okvs
from crypsis.errors import BackendUnavailable, EncodeFailure
from test_okvs import SEED, bins, every_backend, every_field, random_bytes

Array = np.ndarray


def round_trip(chosen: okvs.Parameters, sizes: tuple[int, ...], backend: str, **options: Any) -> None:
    n = sum(sizes)
    keys, values = random_bytes(n, n, 16), random_bytes(n + 1, n, chosen.value_bytes)
    table = okvs.encode(keys, bins(*sizes), values, chosen, seed=SEED, backend=backend, **options)
    assert table.shape == (len(sizes), chosen.columns, chosen.value_bytes)
    found = okvs.decode(keys, bins(*sizes), table, chosen, seed=SEED, backend=backend, **options)
    assert np.array_equal(found, values)


# Sizes


@every_backend
@every_field
def test_every_small_number_of_keys(backend: str, field: int) -> None:
    chosen = okvs.parameters(70, 1000, field=field)
    for n in range(71):
        round_trip(chosen, (n,), backend)
    round_trip(chosen, tuple(range(71)), backend, threads=3)


@every_backend
def test_no_bins_and_no_keys(backend: str) -> None:
    chosen = okvs.parameters(10)
    assert okvs.encode(
        random_bytes(1, 0, 16), bins(), random_bytes(1, 0, 16), chosen, seed=SEED, backend=backend
    ).shape == (0, chosen.columns, 16)
    round_trip(chosen, (0,), backend)
    round_trip(chosen, (0, 0, 0, 1, 0, 10, 0), backend)


def test_the_largest_bins_and_all_columns() -> None:
    largest = next(n for n in range(okvs.MAX_ITEMS, 0, -100) if _fits(n))
    round_trip(okvs.parameters(largest), (largest,), "portable")
    full = okvs.insecure_parameters(okvs.MAX_ITEMS, okvs.MAX_COLUMNS - 1, 1)
    assert full.columns == okvs.MAX_COLUMNS
    for backend in backends.runnable("okvs"):
        round_trip(full, (50_000,), backend)


def _fits(n: int) -> bool:
    try:
        okvs.parameters(n)
    except ValueError:
        return False
    return True


# Keys that no hash would give


@every_backend
@every_field
def test_keys_given_twice(backend: str, field: int) -> None:
    """Equal values: a table that holds them. Different ones: a failure that names the bin. Nothing else."""
    chosen = okvs.parameters(600, field=field)
    keys, values = random_bytes(1, 600, 16), random_bytes(2, 600, chosen.value_bytes)
    keys[300:] = keys[:300]
    values[300:] = values[:300]
    table = okvs.encode(keys, bins(600), values, chosen, seed=SEED, backend=backend)
    assert np.array_equal(okvs.decode(keys, bins(600), table, chosen, seed=SEED, backend=backend), values)
    values[599] ^= 1
    with pytest.raises(EncodeFailure, match=r"bin 1 of 600 keys .* distinct keys"):
        okvs.encode(
            np.concatenate([keys[:3], keys]),
            bins(3, 600),
            np.concatenate([values[:3], values]),
            chosen,
            seed=SEED,
            backend=backend,
        )


@every_backend
def test_one_key_many_times_ends_soon(backend: str) -> None:
    chosen = okvs.insecure_parameters(okvs.MAX_ITEMS, 60_000, 3)
    for n in (2, okvs.MAX_CORE_ROWS):
        keys = np.repeat(random_bytes(3, 1, 16), n, axis=0)
        values = np.repeat(random_bytes(4, 1, 16), n, axis=0)
        table = okvs.encode(keys, bins(n), values, chosen, seed=SEED, backend=backend)
        assert np.array_equal(okvs.decode(keys, bins(n), table, chosen, seed=SEED, backend=backend), values)
    for n in (okvs.MAX_CORE_ROWS + 1, okvs.MAX_ITEMS):
        keys, values = np.repeat(random_bytes(3, 1, 16), n, axis=0), random_bytes(4, n, 16)
        with pytest.raises(EncodeFailure, match=f"{n} rows are left after peeling, above 1024"):
            okvs.encode(keys, bins(n), values, chosen, seed=SEED, backend=backend)


@every_backend
@every_field
def test_dense_columns_alone_and_one_row_too_many(backend: str, field: int) -> None:
    """Three sparse columns give all keys the same places: one of them by peeling's rule, the rest by dense columns."""
    for dense in (1, 4):
        chosen = okvs.insecure_parameters(6, 3, dense, field=field)
        keys, values = random_bytes(5, dense + 2, 16), random_bytes(6, dense + 2, chosen.value_bytes)
        for n in range(dense + 2):
            table = okvs.encode(keys[:n], bins(n), values[:n], chosen, seed=SEED, backend=backend)
            assert np.array_equal(
                okvs.decode(keys[:n], bins(n), table, chosen, seed=SEED, backend=backend), values[:n]
            )
        with pytest.raises(EncodeFailure, match=f"in {dense} dense columns"):
            okvs.encode(keys, bins(dense + 2), values, chosen, seed=SEED, backend=backend)


@every_backend
def test_cores_that_elimination_solves(backend: str) -> None:
    """Tight tables: most rows stay after peeling."""
    solved = 0
    for attempt in range(30):
        chosen = okvs.insecure_parameters(300, 310, 8)
        keys, values = random_bytes(attempt, 300, 16), random_bytes(attempt + 1, 300, 16)
        fill = random_bytes(attempt + 2, 1, chosen.columns, 16)
        try:
            table = okvs.encode(keys, bins(300), values, chosen, seed=SEED, fill=fill, backend=backend)
        except EncodeFailure:
            continue
        solved += 1
        assert np.array_equal(okvs.decode(keys, bins(300), table, chosen, seed=SEED, backend=backend), values)
    assert solved >= 3


# Memory


@every_backend
@every_field
def test_unaligned_arrays_and_nothing_else_is_written(backend: str, field: int) -> None:
    chosen = okvs.parameters(300, 2, field=field)
    w = chosen.value_bytes
    keys, values = random_bytes(7, 431, 16), random_bytes(8, 431, w)
    starts = bins(300, 131)
    wanted = okvs.encode(keys, starts, values, chosen, seed=SEED)

    def placed(array: Array, offset: int) -> Array:
        memory = np.empty(array.size + 64, np.uint8)
        memory[offset : offset + array.size] = array.ravel()
        return memory[offset : offset + array.size].reshape(array.shape)

    for offset in (1, 7, 33):
        memory = np.full(wanted.size + 128, 0xA5, np.uint8)
        out = memory[offset : offset + wanted.size].reshape(wanted.shape)
        given = placed(keys, offset), starts, placed(values, offset + 1)
        assert okvs.encode(*given, chosen, seed=SEED, out=out, backend=backend) is out
        assert np.array_equal(out, wanted)
        assert (memory[:offset] == 0xA5).all()
        assert (memory[offset + wanted.size :] == 0xA5).all()
        memory2 = np.full(values.size + 128, 0xA5, np.uint8)
        out2 = memory2[offset : offset + values.size].reshape(values.shape)
        okvs.decode(given[0], starts, out, chosen, seed=SEED, out=out2, backend=backend)
        assert np.array_equal(out2, values)
        assert (memory2[:offset] == 0xA5).all()
        assert (memory2[offset + values.size :] == 0xA5).all()


# Arguments

CHOSEN = okvs.parameters(100)
GOOD: dict[str, Any] = {
    "keys": random_bytes(1, 5, 16),
    "starts": bins(2, 3),
    "values": random_bytes(2, 5, 16),
    "parameters": CHOSEN,
    "seed": SEED,
}


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"keys": [b"x" * 16]}, TypeError, "keys is list"),
        ({"keys": random_bytes(1, 5, 15)}, ValueError, r"keys has shape \(5, 15\)"),
        ({"keys": random_bytes(1, 5, 32)[:, ::2]}, ValueError, "keys is not C-contiguous"),
        ({"keys": random_bytes(1, 4, 16)}, ValueError, "values has shape"),
        ({"values": random_bytes(1, 5, 8)}, ValueError, r"values has shape \(5, 8\): give uint8\[5, 16\]"),
        (
            {"starts": np.array([0, 5])},
            TypeError,
            "starts is an array of int64: give a NumPy array of uint64",
        ),
        ({"starts": np.zeros(0, np.uint64)}, ValueError, "starts has shape"),
        ({"starts": np.zeros((2, 2), np.uint64)}, ValueError, "starts has shape"),
        ({"starts": bins(2, 2)}, ValueError, "starts ends with 4: there are 5 keys"),
        ({"starts": bins(2, 4)}, ValueError, "starts ends with 6: there are 5 keys"),
        ({"starts": np.array([1, 5], np.uint64)}, ValueError, "starts begins with 1"),
        ({"starts": np.array([0, 4, 3, 5], np.uint64)}, ValueError, "starts falls from 4 to 3 at bin 1"),
        (
            {"starts": np.array([0, 2**64 - 1, 5], np.uint64)},
            ValueError,
            "bin 0 has 18446744073709551615 keys",
        ),
        ({"parameters": (1, 2)}, TypeError, "parameters is tuple"),
        ({"parameters": okvs.parameters(2)}, ValueError, "bin 1 has 3 keys: the parameters are for 2"),
        ({"seed": "0" * 16}, TypeError, "seed is str"),
        ({"seed": b"0" * 15}, ValueError, "seed has 15 bytes"),
        ({"fill": random_bytes(1, 1, CHOSEN.columns, 16)}, ValueError, "fill has shape"),
        ({"out": np.zeros((2, 5, 16), np.uint8)}, ValueError, "out has shape"),
        ({"backend": "abacus"}, BackendUnavailable, "abacus"),
        ({"threads": 0}, ValueError, "threads is 0"),
    ],
)
def test_wrong_arguments(changed: dict[str, Any], error: type[Exception], message: str) -> None:
    given = GOOD | changed
    with pytest.raises(error, match=message):
        okvs.encode(
            given.pop("keys"), given.pop("starts"), given.pop("values"), given.pop("parameters"), **given
        )


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, CHOSEN.columns, 16), "table has shape"),
        ((2, CHOSEN.columns + 1, 16), "table has shape"),
        ((2, CHOSEN.columns, 8), "table has shape"),
        ((2, CHOSEN.columns), "table has shape"),
    ],
)
def test_wrong_tables(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        okvs.decode(GOOD["keys"], GOOD["starts"], np.zeros(shape, np.uint8), CHOSEN, seed=SEED)


def test_outputs_may_not_overlap_inputs() -> None:
    memory = np.zeros((2, CHOSEN.columns, 16), np.uint8)
    keys = memory[0, :5]
    with pytest.raises(ValueError, match="out overlaps keys"):
        okvs.encode(keys, bins(2, 3), GOOD["values"], CHOSEN, seed=SEED, out=memory)
    with pytest.raises(ValueError, match="out overlaps fill"):
        okvs.encode(GOOD["keys"], bins(2, 3), GOOD["values"], CHOSEN, seed=SEED, fill=memory, out=memory)
    with pytest.raises(ValueError, match="out overlaps table"):
        okvs.decode(GOOD["keys"], bins(2, 3), memory, CHOSEN, seed=SEED, out=memory[1, :5])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0,), {}, "n_items is 0"),
        ((60_000,), {}, "make more bins"),
        ((70_000,), {}, "n_items is 70000"),
        ((100, 0), {}, "n_bins is 0"),
        ((100,), {"statistical": 0}, "statistical is 0"),
        ((100,), {"field": 96}, "field is 96: give 64 or 128"),
    ],
)
def test_wrong_parameters(arguments: tuple[int, ...], options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        okvs.parameters(*arguments, **options)


def test_parameters_below_the_formula_are_refused_but_under_their_name() -> None:
    chosen = okvs.parameters(50_000, 1 << 14)
    assert chosen.dense == 3
    given = (chosen.n_items, chosen.n_bins, 40, 128)
    assert okvs.Parameters(*given, chosen.sparse, chosen.dense) == chosen
    for sparse, dense in ((chosen.sparse - 1, chosen.dense), (chosen.sparse, chosen.dense - 1)):
        with pytest.raises(ValueError, match=r"use parameters\(\)"):
            okvs.Parameters(*given, sparse, dense)
    for sparse, dense, message in (
        (2, 1, "sparse is 2"),
        (3, 0, "dense is 0"),
        (1 << 16, 1, "sparse is 65536"),
    ):
        with pytest.raises(ValueError, match=message):
            okvs.insecure_parameters(10, sparse, dense)
