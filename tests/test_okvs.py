# SPDX-License-Identifier: Apache-2.0
"""okvs: known answers, differential against the reference, and properties, over every backend."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crypsis import backends, okvs
from crypsis.errors import EncodeFailure
from properties import given, settings, st
from reference import okvs as reference

CASES = json.loads((Path(__file__).parent / "vectors" / "okvs.json").read_text())["cases"]
BACKENDS = backends.runnable("okvs")
every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_field = pytest.mark.parametrize("field", [64, 128])
SEED = bytes(range(16))
Array = np.ndarray


def random_bytes(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def bins(*sizes: int) -> Array:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint64)


def numbers(rows: Array) -> list[int]:
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


def of_label(label: str, n: int, width: int) -> Array:
    stream = hashlib.shake_128(f"crypsis okvs {label}".encode()).digest(n * width)
    return np.frombuffer(stream, np.uint8).reshape(n, width)


# Known answers


@every_backend
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["label"])
def test_vectors(backend: str, case: dict[str, Any]) -> None:
    n, label = case["n"], case["label"]
    chosen = okvs.insecure_parameters(max(n, 1), case["sparse"], case["dense"], field=case["field"])
    width = chosen.value_bytes
    seed = of_label(f"{label} seed", 1, 16).tobytes()
    keys, values = of_label(f"{label} keys", n, 16), of_label(f"{label} values", n, width)
    fill = of_label(f"{label} fill", chosen.columns, width)[None] if case["fill"] else None
    table = okvs.encode(keys, bins(n), values, chosen, seed=seed, fill=fill, backend=backend)
    assert [f"{value:0{2 * width}x}" for value in numbers(table[0, chosen.sparse :])] == case["dense_columns"]
    assert hashlib.sha256(table.tobytes()).hexdigest() == case["sha256"]
    assert np.array_equal(okvs.decode(keys, bins(n), table, chosen, seed=seed, backend=backend), values)


def test_vectors_hold_what_the_reference_says_of_the_first_key() -> None:
    for case in CASES:
        if case["n"]:
            seed, key = (of_label(f"{case['label']} {what}", 1, 16).tobytes() for what in ("seed", "keys"))
            assert [list(reference.columns(seed, key, case["sparse"]))] == case["first_columns"]
            element = reference.element(seed, key, case["field"])
            assert [f"{element:0{case['field'] // 4}x}"] == case["first_element"]
    assert any(case["core_rows"] > 20 for case in CASES)


# Differential


@every_backend
@every_field
@pytest.mark.parametrize("with_fill", [False, True])
def test_tables_and_values_are_the_references(backend: str, field: int, with_fill: bool) -> None:
    """Bins of several sizes, two thirds of them with a core; where the reference finds no table, neither do we."""
    chosen = okvs.insecure_parameters(40, 44, 5, field=field)
    shape, width = reference.Shape(44, 5, field), field // 8
    sizes = (0, 1, 2, 31, 32, 33, 36, 38)
    keys, values = random_bytes(1, sum(sizes), 16), random_bytes(2, sum(sizes), width)
    fill = random_bytes(3, len(sizes), chosen.columns, width) if with_fill else None
    starts = bins(*sizes)
    found_core = failed = 0
    for i in range(len(sizes)):
        part = slice(int(starts[i]), int(starts[i + 1]))
        own = fill[i : i + 1] if fill is not None else None
        blocks = [key.tobytes() for key in keys[part]]
        rows = [reference.columns(SEED, key, 44) for key in blocks]
        found_core += bool(reference.peel(rows, 44)[1])
        try:
            wanted = reference.encode(
                blocks, numbers(values[part]), shape, SEED, None if own is None else numbers(own[0])
            )
        except reference.NoTable:
            failed += 1
            with pytest.raises(EncodeFailure, match="bin 0 of"):
                okvs.encode(
                    keys[part], bins(sizes[i]), values[part], chosen, seed=SEED, fill=own, backend=backend
                )
            continue
        found = okvs.encode(
            keys[part], bins(sizes[i]), values[part], chosen, seed=SEED, fill=own, backend=backend
        )
        assert numbers(found[0]) == wanted
        others = random_bytes(4, 5, 16)
        decoded = okvs.decode(others, bins(5), found, chosen, seed=SEED, backend=backend)
        assert numbers(decoded) == [
            reference.decode_one(wanted, shape, SEED, key.tobytes()) for key in others
        ]
    assert found_core - failed >= 1


@every_backend
def test_every_number_of_dense_columns(backend: str) -> None:
    for field in (64, 128):
        for dense in (1, 2, 3, 7, okvs.MAX_DENSE):
            chosen = okvs.insecure_parameters(9, 20, dense, field=field)
            table = random_bytes(dense, 1, chosen.columns, field // 8)
            keys = random_bytes(5, 9, 16)
            decoded = okvs.decode(keys, bins(9), table, chosen, seed=SEED, backend=backend)
            shape = reference.Shape(20, dense, field)
            wanted = [reference.decode_one(numbers(table[0]), shape, SEED, key.tobytes()) for key in keys]
            assert numbers(decoded) == wanted


@every_backend
def test_two_lanes_of_64_bits_decode_as_each_alone(backend: str) -> None:
    chosen = okvs.parameters(300, field=64)
    keys = random_bytes(6, 601, 16)
    starts = bins(300, 1, 0, 300)
    table = random_bytes(7, 4, chosen.columns, 16)
    both = okvs.decode(keys, starts, table, chosen, seed=SEED, backend=backend)
    for lane in (slice(0, 8), slice(8, 16)):
        alone = np.ascontiguousarray(table[:, :, lane])
        decoded = okvs.decode(keys, starts, alone, chosen, seed=SEED, backend=backend)
        assert np.array_equal(both[:, lane], decoded)


@every_field
def test_backends_agree_on_large_bins(field: int) -> None:
    sizes = (5000, 4999, 0, 3, 4097)
    chosen = okvs.parameters(5000, 5, field=field)
    keys, values = random_bytes(8, sum(sizes), 16), random_bytes(9, sum(sizes), field // 8)
    fill = random_bytes(10, len(sizes), chosen.columns, field // 8)
    tables = {
        (name, threads): okvs.encode(
            keys, bins(*sizes), values, chosen, seed=SEED, fill=fill, backend=name, threads=threads
        )
        for name in BACKENDS
        for threads in (1, 3)
    }
    first = tables["portable", 1]
    for (name, threads), table in tables.items():
        assert np.array_equal(table, first)
        decoded = okvs.decode(keys, bins(*sizes), table, chosen, seed=SEED, backend=name, threads=threads)
        assert np.array_equal(decoded, values)


# Properties


@given(
    n=st.integers(0, 400),
    field=st.sampled_from([64, 128]),
    n_bins=st.integers(1, 4),
    seed=st.binary(min_size=16, max_size=16),
    data_seed=st.integers(0, 2**32),
    backend=st.sampled_from(BACKENDS),
)
@settings(max_examples=60)
def test_decoding_gives_the_values_and_is_linear(
    n: int, field: int, n_bins: int, seed: bytes, data_seed: int, backend: str
) -> None:
    chosen = okvs.parameters(400, n_bins, field=field)
    cuts = np.sort(np.random.default_rng(data_seed).integers(0, n + 1, n_bins - 1))
    starts = np.concatenate([[0], cuts, [n]]).astype(np.uint64)
    keys, values = random_bytes(data_seed, n, 16), random_bytes(data_seed + 1, n, field // 8)
    table = okvs.encode(keys, starts, values, chosen, seed=seed, backend=backend)
    assert np.array_equal(okvs.decode(keys, starts, table, chosen, seed=seed, backend=backend), values)
    mask = random_bytes(data_seed + 2, *table.shape)
    parts = [okvs.decode(keys, starts, t, chosen, seed=seed, backend=backend) for t in (mask, table ^ mask)]
    assert np.array_equal(parts[0] ^ parts[1], values)


@every_field
def test_another_seed_or_an_unknown_key_gives_other_values(field: int) -> None:
    chosen = okvs.parameters(256, field=field)
    keys, values = random_bytes(11, 256, 16), random_bytes(12, 256, field // 8)
    table = okvs.encode(keys, bins(256), values, chosen, seed=SEED)
    other = okvs.decode(keys, bins(256), table, chosen, seed=bytes(16))
    assert (other != values).any(axis=1).all()


def test_fill_stands_in_the_columns_that_no_key_binds() -> None:
    chosen = okvs.parameters(256)
    keys, values = random_bytes(13, 200, 16), random_bytes(14, 200, 16)
    fill = random_bytes(15, 1, chosen.columns, 16)
    table = okvs.encode(keys, bins(200), values, chosen, seed=SEED, fill=fill)
    plain = okvs.encode(keys, bins(200), values, chosen, seed=SEED)
    same = (table == fill).all(axis=2).sum()
    zero = (plain == 0).all(axis=2).sum()
    assert same == zero == chosen.columns - 200
